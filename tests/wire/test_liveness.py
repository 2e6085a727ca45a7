import pytest

from datd.errors import ProtocolError
from datd.wire.liveness import Liveness


def receive(liveness: Liveness, now: float, size: int, *, completed=False, inside=False) -> None:
    liveness.now = now
    liveness.received(size, completed=completed, inside_frame=inside)


def dies_at(liveness: Liveness) -> float:
    """When the peer's time is over if nothing more comes."""
    deadline = liveness.deadline()
    assert deadline is not None
    liveness.now = deadline - 0.001
    liveness.check()
    liveness.now = deadline
    with pytest.raises(ProtocolError):
        liveness.check()
    return deadline


def up(now: float = 100.0) -> Liveness:
    liveness = Liveness(now)
    liveness.handshaken()
    return liveness


def test_t1_l1_the_handshake_has_5_seconds_whatever_arrives():
    liveness = Liveness(100.0)
    for now in (101.0, 102.0, 103.0, 104.0):
        receive(liveness, now, 20000, completed=True)
    assert dies_at(liveness) == 105.0


def test_l3_20_seconds_without_a_frame_are_too_many():
    liveness = up()
    receive(liveness, 110.0, 1, completed=True)
    assert dies_at(liveness) == 130.0


def test_l4_t7_a_frame_must_go_on_by_16_kib_in_10_seconds():
    liveness = up()
    receive(liveness, 115.0, 100, inside=True)
    for now in range(116, 125):
        receive(liveness, now, 1000, inside=True)
    assert dies_at(liveness) == 125.0


def test_l4_a_slow_large_frame_may_take_its_time():
    liveness = up()
    for now in range(101, 400, 3):
        receive(liveness, now, 6000, inside=True)
        liveness.check()


def test_l4_the_last_bytes_of_a_frame_are_progress_too():
    liveness = up()
    receive(liveness, 101.0, 10, inside=True)
    receive(liveness, 110.0, 10, completed=True, inside=True)
    assert dies_at(liveness) == 120.0


def test_time_in_which_we_do_not_read_is_not_the_peers():
    liveness = up()
    liveness.pause()
    assert liveness.deadline() is None
    liveness.now = 1000.0
    liveness.check()
    liveness.resume()
    assert dies_at(liveness) == 1020.0


def test_l1_pausing_does_not_stretch_the_handshake():
    liveness = Liveness(100.0)
    liveness.pause()
    assert dies_at(liveness) == 105.0


def test_l3_we_speak_after_3_seconds_of_our_own_silence():
    liveness = up()
    assert not liveness.must_speak()
    liveness.keyed()
    assert liveness.deadline() == 103.0
    liveness.now = 102.9
    assert not liveness.must_speak()
    liveness.sent()
    liveness.now = 105.8
    assert not liveness.must_speak()
    liveness.now = 105.9
    assert liveness.must_speak()
    assert not liveness.must_speak()
    assert liveness.deadline() == pytest.approx(108.9)


def test_before_the_key_is_known_nothing_is_to_be_said():
    liveness = Liveness(100.0)
    liveness.sent()
    liveness.now = 104.9
    assert not liveness.must_speak()
