import pytest
from tests.helpers.sessions import key_named

from datd.errors import ProtocolError
from datd.hosting.attention import MOST_WORDS, Attention
from datd.wire.liveness import HANDSHAKE_TIMEOUT
from datd.wire.messages import Data
from datd.wire.session import Session


class Peer:
    def __init__(self) -> None:
        self.now = 100.0
        self.session = Session(nonce=bytes(24), peer_id=bytes(32), now=self.now)
        self.session.open(key_named("a"))
        self.attention = Attention(self.session, lambda: self.now)


def test_l16_the_clock_of_exchanges_stands_while_nobody_reads():
    peer = Peer()
    asked_at = peer.attention.now
    peer.now = 105.0
    with peer.attention.elsewhere():
        peer.now = 165.0
        assert peer.attention.now - asked_at == 5.0
    assert peer.attention.now - asked_at == 5.0
    peer.now = 170.0
    assert peer.attention.now - asked_at == 10.0
    # 20 s of patience end after 20 s of reading.
    assert peer.attention.due(asked_at + 20) == 180.0
    assert peer.attention.told(180.0) == asked_at + 20


def test_what_was_not_read_may_be_in_the_stream():
    peer = Peer()
    seen = [peer.attention.lacking]
    with peer.attention.elsewhere():
        seen.append(peer.attention.lacking)
    seen.append(peer.attention.lacking)
    assert seen == [False, True, True]


def test_halts_add_up_also_those_that_end_in_an_error():
    peer = Peer()

    def fail() -> None:
        with peer.attention.elsewhere():
            peer.now += 10
            raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        fail()
    with peer.attention.elsewhere():
        peer.now += 20
    assert peer.attention.now == 100.0


def test_t23_the_clock_goes_on_for_who_talks_and_brings_no_block():
    peer = Peer()
    peer.attention.heard(MOST_WORDS, blocks=False)
    with peer.attention.elsewhere():
        peer.now += 10
    assert peer.attention.now == 100.0
    peer.attention.heard(1, blocks=False)
    with peer.attention.elsewhere():
        assert not peer.attention.lacking
        peer.now += 10
        assert peer.attention.now == 110.0
    assert peer.attention.now == 110.0
    assert peer.attention.due(105.0) == 115.0
    peer.attention.heard(1, blocks=True)
    with peer.attention.elsewhere():
        peer.now += 10
    assert peer.attention.now == 110.0


def test_a_block_that_is_not_whole_yet_is_no_talk():
    peer = Peer()
    first = Session(nonce=bytes([1]) * 24, peer_id=bytes([1]) * 32, now=0.0)
    number = first.open(key_named("a"))
    hello = first.data_to_send()
    peer.session.receive_data(hello, peer.now)
    peer.attention.heard(len(hello), blocks=False)
    first.send(number, Data(0, bytes(2 * MOST_WORDS)))
    block = first.data_to_send()
    peer.session.receive_data(block[:-1], peer.now)
    peer.attention.heard(len(block) - 1, blocks=False)
    with peer.attention.elsewhere():
        peer.now += 10
    assert peer.attention.now == 100.0
    # Nobody had asked for it.
    peer.session.receive_data(block[-1:], peer.now)
    peer.attention.heard(1, blocks=False)
    with peer.attention.elsewhere():
        peer.now += 10
    assert peer.attention.now == 110.0


def test_l1_the_time_of_the_handshake_is_absolute():
    peer = Peer()
    with peer.attention.elsewhere():
        peer.now += HANDSHAKE_TIMEOUT
        with pytest.raises(ProtocolError):
            peer.session.handle_timer(peer.now)
