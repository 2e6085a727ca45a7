from hypothesis import given
from hypothesis import strategies as st

from datd.transport.utp.receiving import MAX_AHEAD, WINDOW, Incoming

FIRST = 65530  # numbers wrap around in every test


def seq(place: int) -> int:
    return (FIRST + place) % 65536


def heard(incoming: Incoming) -> bytes:
    return incoming.read(2 * WINDOW)


def test_packets_are_put_in_order():
    incoming = Incoming(FIRST)
    for place in (2, 0, 3, 1):
        incoming.take(seq(place), bytes([place]) * 3)
    assert heard(incoming) == b"\0\0\0\1\1\1\2\2\2\3\3\3"
    assert incoming.next == seq(4)
    assert incoming.window == WINDOW


def test_what_came_twice_is_given_once():
    incoming = Incoming(FIRST)
    for place in (0, 0, 2, 2, 1, 1, 0):
        incoming.take(seq(place), bytes([place]))
    assert heard(incoming) == b"\0\1\2"


def test_the_bits_tell_what_is_behind_the_hole():
    incoming = Incoming(FIRST)
    assert incoming.selective() == b""
    for place in (1, 2, 9, 32):
        incoming.take(seq(place), b"x")
    assert incoming.selective() == bytes([0b11, 0b1, 0, 0b10000000])
    incoming.take(seq(33), b"x")
    assert len(incoming.selective()) == 8
    incoming.take(seq(400), b"x")
    assert len(incoming.selective()) == 8  # 32 bytes of bits reach to the 257th


def test_bits_without_one_set_tell_of_what_is_beyond_them():
    incoming = Incoming(FIRST)
    incoming.take(seq(400), b"x")
    assert incoming.selective() == bytes(4)


def test_the_end_comes_after_everything_before_it():
    incoming = Incoming(FIRST)
    incoming.take(seq(2), b"", fin=True)
    incoming.take(seq(1), b"b")
    before = incoming.ended
    incoming.take(seq(0), b"a")
    assert (before, incoming.ended) == (False, True)
    assert heard(incoming) == b"ab"
    assert incoming.next == seq(3)


def test_nothing_comes_after_the_end():
    incoming = Incoming(FIRST)
    incoming.take(seq(3), b"early")
    incoming.take(seq(1), b"", fin=True)
    incoming.take(seq(2), b"late")
    incoming.take(seq(5), b"", fin=True)
    incoming.take(seq(0), b"a")
    assert heard(incoming) == b"a"
    assert incoming.ended
    assert incoming.window == WINDOW


def test_t37_packets_in_disorder_fill_the_window_and_no_more():
    incoming = Incoming(FIRST)
    for place in range(1, 2000):
        incoming.take(seq(place), bytes(60_000))
    held = sum(len(payload) for payload in incoming.behind.values())
    assert WINDOW - 60_000 < held <= WINDOW
    assert incoming.window == WINDOW - held
    incoming.take(seq(0), b"the missing one always has room")
    assert incoming.behind == {}


def test_t37_at_most_1023_packets_wait_for_a_missing_one():
    incoming = Incoming(FIRST)
    for place in range(1, 3000):
        incoming.take(seq(place), b"")
    assert len(incoming.behind) == MAX_AHEAD


def test_t37_a_peer_that_ignores_the_window_is_not_listened_to():
    incoming = Incoming(FIRST)
    for place in range(100):
        incoming.take(seq(place), bytes(60_000))
    assert incoming.unread <= WINDOW + 60_000
    assert incoming.window == 0


def test_reading_opens_the_window_and_that_is_news():
    incoming = Incoming(FIRST)
    for place in range(18):
        incoming.take(seq(place), bytes(60_000))
    incoming.told = incoming.window
    news = []
    for _ in range(4):
        news.append(incoming.news)
        assert len(incoming.read(256 * 1024)) == 4 * 60_000
    assert news == [False, False, False, True]
    incoming.told = incoming.window
    incoming.read(256 * 1024)
    assert not incoming.news  # it knows of half a window and more


def test_reads_end_at_their_limit():
    incoming = Incoming(FIRST)
    incoming.take(seq(0), b"0123456789")
    incoming.take(seq(1), b"abcde")
    assert [incoming.read(4) for _ in range(5)] == [b"0123", b"4567", b"89", b"abcd", b"e"]
    assert incoming.unread == 0


def test_what_nobody_reads_is_acknowledged_and_forgotten():
    incoming = Incoming(FIRST)
    incoming.take(seq(0), b"before")
    incoming.discard()
    incoming.take(seq(2), b"out of order")
    incoming.take(seq(1), b"after")
    assert incoming.next == seq(3)
    assert incoming.unread == 0
    assert incoming.window == WINDOW


def test_old_numbers_are_told_from_new_ones():
    incoming = Incoming(FIRST)
    assert incoming.is_old(seq(-1))
    assert incoming.is_old(seq(-MAX_AHEAD))
    assert not incoming.is_old(seq(0))
    assert not incoming.is_old(seq(MAX_AHEAD))
    assert not incoming.is_old(seq(30_000))


arrivals = st.lists(st.tuples(st.integers(-50, 60), st.booleans()), max_size=150)


@given(arrivals, st.integers(0, 65535))
def test_any_order_of_packets_gives_a_beginning_of_the_bytes(order, first):
    incoming = Incoming(first)
    whole = b"".join(bytes([place]) * 3 for place in range(60))
    got = b""
    for place, then_read in order:
        payload = bytes([place]) * 3 if 0 <= place < 60 else b"??"
        if place <= 59:
            incoming.take((first + place) % 65536, payload)
        if then_read:
            got += incoming.read(7)
    got += incoming.read(1000)
    assert whole.startswith(got)
    reached = {place for place, _ in order}
    missing = next(place for place in range(61) if place not in reached or place == 60)
    assert len(got) == 3 * missing
