import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.transport.utp.packet import DATA, FIN, NARROW_PAYLOAD, PAYLOAD
from datd.transport.utp.receiving import WINDOW
from datd.transport.utp.sending import (
    MAX_PACKETS,
    MAX_TIMEOUTS,
    MIN_TAIL,
    RUN,
    ZERO_WINDOW,
    Outgoing,
)

FIRST = 65530  # numbers wrap around in every test


def seq(place: int) -> int:
    return (FIRST + place) % 65536


def sender(packets: int = 0, *, window: int = WINDOW, congestion: float = WINDOW) -> Outgoing:
    """One with something to say, on a path whose round trip is known to be 10 ms."""
    outgoing = Outgoing(FIRST, window, 0.0)
    outgoing.congestion.window = congestion
    outgoing.round_trip.add(0.01)
    outgoing.write(bytes(packets * PAYLOAD))
    return outgoing


def sent(outgoing: Outgoing, now: float = 0.0) -> list[int]:
    """Places of the packets that one go sends."""
    return [(packet.seq - FIRST) % 65536 for packet in outgoing.due(now)]


def all_sent(outgoing: Outgoing, now: float = 0.0) -> list[int]:
    places = sent(outgoing, now)
    while outgoing.more:
        places += sent(outgoing, now)
    return places


def bits(*places: int, hole: int) -> bytes:
    """What the peer says who misses `hole` and has these."""
    mask = sum(1 << place - hole - 1 for place in places)
    return mask.to_bytes(32, "little")


def test_bytes_become_packets_of_1382_bytes_whatever_they_were_written_as():
    outgoing = sender()
    text = bytes(index % 251 for index in range(3 * PAYLOAD))
    for start in range(0, len(text), 100):
        outgoing.write(text[start : start + 100])
    packets = outgoing.due(0.0)
    assert [len(packet.payload) for packet in packets] == [PAYLOAD] * 3
    assert b"".join(packet.payload for packet in packets) == text
    assert outgoing.waiting == 0


def test_at_most_32_packets_leave_in_one_go():
    outgoing = sender(40)
    assert sent(outgoing) == list(range(RUN))
    assert outgoing.more
    assert sent(outgoing) == list(range(RUN, 40))
    assert not outgoing.more


def test_no_more_is_under_way_than_the_congestion_window():
    outgoing = sender(40, congestion=10.5 * PAYLOAD)
    assert len(all_sent(outgoing)) == 10


def test_no_more_is_under_way_than_the_peer_can_take():
    outgoing = sender(40, window=10 * PAYLOAD + 1)
    assert len(all_sent(outgoing)) == 10
    outgoing.acknowledge(seq(4), b"", 10 * PAYLOAD, 0.0)
    assert all_sent(outgoing) == [10, 11, 12, 13, 14]


def test_at_most_1023_packets_are_under_way():
    outgoing = sender()
    outgoing.narrow_down()
    outgoing.write(bytes(2000 * NARROW_PAYLOAD))
    assert len(all_sent(outgoing)) == MAX_PACKETS


def test_a_window_of_less_than_a_packet_still_lets_one_through():
    outgoing = sender(3, congestion=10.0)
    assert all_sent(outgoing) == [0]
    outgoing.acknowledge(seq(0), b"", WINDOW, 0.0)
    assert all_sent(outgoing) == [1]


def test_a_short_packet_waits_while_another_is_under_way_and_is_filled_meanwhile():
    outgoing = sender()
    outgoing.write(b"first")
    assert sent(outgoing) == [0]
    outgoing.write(b"second")
    assert sent(outgoing) == []
    outgoing.write(b"third")
    outgoing.acknowledge(seq(0), b"", WINDOW, 0.0)
    [packet] = outgoing.due(0.0)
    assert packet.payload == b"secondthird"


def test_a_short_packet_does_not_wait_before_the_end():
    outgoing = sender(1)
    outgoing.write(b"last words")
    outgoing.end()
    packets = outgoing.due(0.0)
    assert [packet.kind for packet in packets] == [DATA, DATA, FIN]
    assert packets[1].payload == b"last words"


def test_the_end_is_over_when_it_is_acknowledged():
    outgoing = sender(1)
    outgoing.end()
    assert sent(outgoing) == [0, 1]
    outgoing.acknowledge(seq(0), b"", WINDOW, 0.0)
    before = outgoing.ended
    outgoing.acknowledge(seq(1), b"", WINDOW, 0.0)
    assert (before, outgoing.ended) == (False, True)
    assert outgoing.next_timer() is None


def test_three_packets_above_a_hole_have_it_filled_once():
    outgoing = sender(10)
    sent(outgoing)
    outgoing.acknowledge(seq(1), bits(3, 4, hole=2), WINDOW, 0.01)
    assert sent(outgoing, 0.01) == []
    outgoing.acknowledge(seq(1), bits(3, 4, 5, hole=2), WINDOW, 0.01)
    assert sent(outgoing, 0.01) == [2]
    outgoing.acknowledge(seq(1), bits(3, 4, 5, 6, hole=2), WINDOW, 0.011)
    assert sent(outgoing, 0.011) == []


def test_as_many_holes_are_filled_at_once_as_packets_arrived_and_the_others_as_more_do():
    outgoing = sender(64, congestion=64.0 * PAYLOAD)
    all_sent(outgoing)
    here = list(range(1, 64, 6))
    holes = [place for place in range(here[-3]) if place not in here]
    outgoing.acknowledge(seq(-1), bits(*here, hole=0), WINDOW, 0.01)
    assert outgoing.congestion.window == 32 * PAYLOAD
    at_once = all_sent(outgoing, 0.01)
    assert at_once == holes[: len(holes) // 2]
    outgoing.acknowledge(seq(5), bits(*here[1:], hole=6), WINDOW, 0.02)
    then = all_sent(outgoing, 0.02)
    assert at_once + then == holes[: len(at_once) + len(then)]
    assert len(then) >= 5


def test_no_bit_above_a_hole_says_that_all_the_bits_could_tell_of_is_lost():
    outgoing = sender(90, congestion=90.0 * PAYLOAD)
    all_sent(outgoing)
    outgoing.acknowledge(seq(19), b"", WINDOW, 0.01)
    assert all_sent(outgoing, 0.01) == []
    outgoing.acknowledge(seq(19), bytes(4), WINDOW, 0.011)
    first = all_sent(outgoing, 0.011)
    assert first == list(range(20, 20 + len(first)))
    assert len(first) >= 31 // 2


def test_a_hole_longer_than_the_bits_closes_with_every_answer_though_the_window_seems_full():
    outgoing = sender(200, congestion=200.0 * PAYLOAD)
    all_sent(outgoing)
    # The peer has the first 60 and the last 40, and tells of 30 above the hole only.
    missing, now = 60, 0.01
    outgoing.acknowledge(seq(missing - 1), b"", WINDOW, now)
    answers = 0
    while missing < 160:
        now += 0.001
        answers += 1
        told = [place for place in range(160, 200) if missing < place <= missing + 30]
        outgoing.acknowledge(seq(missing - 1), bits(*told, hole=missing)[:4], WINDOW, now)
        for place in all_sent(outgoing, now):
            assert place >= missing
            missing += place == missing
        assert answers < 20
    outgoing.acknowledge(seq(199), b"", WINDOW, now)
    assert outgoing.unacked == 0


def test_a_filling_is_sent_again_once_what_was_sent_well_after_it_has_arrived():
    outgoing = sender(10)
    sent(outgoing)
    outgoing.acknowledge(seq(1), bits(3, 4, 5, hole=2), WINDOW, 0.01)
    assert sent(outgoing, 0.01) == [2]
    outgoing.write(bytes(2 * PAYLOAD))
    assert sent(outgoing, 0.015) == [10, 11]
    outgoing.acknowledge(seq(1), bits(3, 4, 5, 6, 7, 8, 9, hole=2), WINDOW, 0.02)
    assert sent(outgoing, 0.02) == []
    outgoing.acknowledge(seq(1), bits(*range(3, 11), hole=2), WINDOW, 0.025)
    assert sent(outgoing, 0.025) == [2]


def test_after_a_timeout_nothing_is_left_of_what_could_be_sent_at_once():
    outgoing = sender(64, congestion=64.0 * PAYLOAD)
    all_sent(outgoing)
    outgoing.acknowledge(seq(-1), bits(*range(32, 64), hole=0), WINDOW, 0.01)
    timer = 0.01
    while outgoing.congestion.window > PAYLOAD:
        timer = outgoing.next_timer() or 0.0
        outgoing.handle_timer(timer)
    assert all_sent(outgoing, timer) == [0]


def test_a_hole_whose_filling_was_lost_is_filled_again_after_a_while():
    outgoing = sender(10)
    sent(outgoing)
    outgoing.acknowledge(seq(1), bits(3, 4, 5, hole=2), WINDOW, 0.01)
    sent(outgoing, 0.01)
    later = 0.2
    outgoing.acknowledge(seq(1), bits(3, 4, 5, 6, hole=2), WINDOW, later)
    assert sent(outgoing, later) == [2]


def test_filled_holes_halve_the_window_once():
    outgoing = sender(30, congestion=100.0 * PAYLOAD)
    sent(outgoing)
    for end in (6, 7, 8):
        outgoing.acknowledge(seq(-1), bits(*range(2, end), hole=0), WINDOW, 0.01)
    assert outgoing.congestion.window == 50 * PAYLOAD


def test_the_lost_end_of_a_burst_is_sent_again_after_three_round_trips():
    outgoing = sender(20, congestion=100.0 * PAYLOAD)
    sent(outgoing)
    outgoing.acknowledge(seq(9), b"", WINDOW, 0.01)
    timer = outgoing.next_timer()
    assert timer is not None
    assert timer == pytest.approx(0.01 + MIN_TAIL)
    outgoing.handle_timer(timer)
    assert sent(outgoing, timer) == [10, 11, 12, 13]
    assert outgoing.congestion.window == 50 * PAYLOAD


def test_when_the_resent_end_arrives_the_rest_before_it_is_sent_as_well():
    outgoing = sender(20)
    sent(outgoing)
    outgoing.acknowledge(seq(9), b"", WINDOW, 0.01)
    outgoing.handle_timer(0.04)
    sent(outgoing, 0.04)
    outgoing.acknowledge(seq(13), b"", WINDOW, 0.05)
    assert sent(outgoing, 0.05) == [14, 15, 16, 17, 18, 19]


def test_after_a_timeout_one_packet_goes_and_each_answer_brings_another():
    outgoing = sender(10)
    sent(outgoing)
    outgoing.acknowledge(seq(1), b"", WINDOW, 0.01)
    now = 2.0
    outgoing.handle_timer(now)
    assert outgoing.congestion.window == PAYLOAD
    assert sent(outgoing, now) == [2]
    outgoing.acknowledge(seq(2), b"", WINDOW, now + 0.01)
    assert sent(outgoing, now + 0.01) == [3]


def test_the_fifth_timeout_in_a_row_is_the_last():
    outgoing = sender(1)
    sent(outgoing)
    waits = []
    now = 0.0
    while not outgoing.failed:
        timer = outgoing.next_timer()
        assert timer is not None
        waits.append(round(timer - now, 3))
        now = timer
        outgoing.handle_timer(now)
        sent(outgoing, now)
    timeouts = [wait for wait in waits if wait >= 0.4]
    assert len(timeouts) >= MAX_TIMEOUTS
    assert now == pytest.approx(1 + 2 + 4 + 8 + 16)


def test_an_answer_between_timeouts_begins_the_count_anew():
    outgoing = sender(10)
    sent(outgoing)
    now = 0.0
    for place in range(8):
        now += 70.0
        outgoing.handle_timer(now)
        sent(outgoing, now)
        outgoing.acknowledge(seq(place), b"", WINDOW, now)
    assert not outgoing.failed


def test_two_timeouts_of_a_full_packet_make_the_following_ones_small():
    outgoing = sender(1)
    sent(outgoing)
    for now in (5.0, 20.0):
        assert not outgoing.narrow
        outgoing.handle_timer(now)
        [packet] = outgoing.due(now)
        assert len(packet.payload) == PAYLOAD  # its number stands for these bytes
    outgoing.acknowledge(seq(0), b"", WINDOW, 21.0)
    outgoing.write(bytes(PAYLOAD))
    assert {len(packet.payload) for packet in outgoing.due(21.0)} == {NARROW_PAYLOAD}
    assert outgoing.narrow


def test_two_timeouts_of_a_small_packet_say_nothing_of_the_path():
    outgoing = sender()
    outgoing.write(b"small")
    sent(outgoing)
    for now in (5.0, 20.0):
        outgoing.handle_timer(now)
        sent(outgoing, now)
    assert not outgoing.narrow


def test_a_closed_window_is_probed_with_one_packet_after_15_seconds():
    outgoing = sender(5, window=2 * PAYLOAD)
    assert sent(outgoing) == [0, 1]
    outgoing.acknowledge(seq(1), b"", 0, 0.01)
    assert sent(outgoing, 0.01) == []
    assert outgoing.next_timer() == pytest.approx(0.01 + ZERO_WINDOW)
    outgoing.handle_timer(15.1)
    assert sent(outgoing, 15.1) == [2]


def test_a_peer_whose_window_stays_closed_is_not_given_up_while_it_answers():
    outgoing = sender(5, window=0)
    now = 0.0
    sent(outgoing)
    for _ in range(40):
        timer = outgoing.next_timer()
        assert timer is not None
        now = timer
        outgoing.handle_timer(now)
        sent(outgoing, now)
        outgoing.acknowledge(seq(-1), b"", 0, now)
    assert not outgoing.failed
    assert now > 300
    outgoing.acknowledge(seq(-1), b"", WINDOW, now)
    assert sent(outgoing, now) == [0]  # and not only after the doubled timeout


def test_an_opening_window_is_used_at_once():
    outgoing = sender(5, window=0)
    assert sent(outgoing) == []
    outgoing.acknowledge(seq(-1), b"", WINDOW, 1.0)
    assert sent(outgoing, 1.0) == [0, 1, 2, 3, 4]


def test_round_trips_are_taken_only_from_packets_sent_once():
    outgoing = sender(4)
    sent(outgoing)
    outgoing.handle_timer(1.5)
    sent(outgoing, 1.5)
    before = outgoing.round_trip.mean
    outgoing.acknowledge(seq(0), b"", WINDOW, 9.0)
    assert outgoing.round_trip.mean == before


def test_t37_acknowledgements_of_the_future_and_of_long_ago_are_not_plausible():
    outgoing = sender(10)
    sent(outgoing)
    outgoing.acknowledge(seq(4), b"", WINDOW, 0.01)
    assert not outgoing.plausible(seq(10))
    assert outgoing.plausible(seq(9))
    assert outgoing.plausible(seq(1))
    assert not outgoing.plausible(seq(0))


def test_an_old_acknowledgement_changes_nothing():
    outgoing = sender(10, window=WINDOW)
    sent(outgoing)
    outgoing.acknowledge(seq(4), b"", WINDOW, 0.01)
    outgoing.acknowledge(seq(2), b"", 5, 0.01)
    assert outgoing.acked == seq(4)
    assert outgoing.window == WINDOW


moves = st.lists(
    st.one_of(
        st.tuples(st.just("ack"), st.integers(-5, 60), st.binary(max_size=40)),
        st.tuples(st.just("time"), st.integers(0, 3000), st.just(b"")),
        st.tuples(st.just("write"), st.integers(0, 40_000), st.just(b"")),
        st.tuples(st.just("go"), st.just(0), st.just(b"")),
    ),
    max_size=60,
)


@given(moves)
def test_t37_whatever_is_acknowledged_the_books_stay_true(story):
    outgoing = sender(20, congestion=12.0 * PAYLOAD)
    now = 0.0
    for move, number, data in story:
        if move == "ack":
            ack = (outgoing.acked + number) % 65536
            if outgoing.plausible(ack):
                outgoing.acknowledge(ack, data, WINDOW, now)
        elif move == "time":
            now += number / 1000
            outgoing.handle_timer(now)
        elif move == "write" and outgoing.waiting < WINDOW:
            outgoing.write(bytes(number))
        else:
            assert len(outgoing.due(now)) <= RUN + 8
        under_way = [packet for packet in outgoing._packets if not packet.acked]
        assert outgoing._flight == sum(len(p.payload) for p in under_way if not p.lost)
        assert outgoing._lost == sum(packet.lost for packet in under_way)
        assert outgoing.unacked <= MAX_PACKETS
