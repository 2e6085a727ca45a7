"""Which packets the peer has, and which of the others are lost."""

from collections import deque

from datd.transport.utp.packet import DATA
from datd.transport.utp.under_way import Sent, marked, overtaken


def packets(count: int, *here: int) -> deque[Sent]:
    """So many under way, of which the peer has these."""
    under_way = deque(Sent(place, DATA, b"x", 0.0) for place in range(count))
    for place in here:
        under_way[place].acked = True
    return under_way


def test_the_first_bit_is_of_the_second_packet_and_what_was_told_before_is_no_news():
    told = marked(packets(40, 3), bytes([0b101, 0b1, 0, 0]))
    assert [packet.seq for packet in told] == [1, 9]


def test_bits_beyond_the_last_packet_mean_nothing():
    assert [packet.seq for packet in marked(packets(3), b"\xff" * 32)] == [1, 2]


def test_what_three_packets_overtook_is_lost_and_not_what_two_did():
    assert overtaken(packets(20, 2, 5)) == 0
    assert overtaken(packets(20, 2, 5, 9)) == 2
    assert overtaken(packets(20, 2, 5, 9, 11)) == 5


def test_a_hole_longer_than_any_disorder_is_lost_whatever_came_after_it():
    assert overtaken(packets(60, 30)) == 30
    assert overtaken(packets(60, 29, 30)) == 30
    assert overtaken(packets(60, 20)) == 0


def test_no_packet_among_those_that_can_be_told_of_means_that_later_ones_are_here():
    assert overtaken(packets(60)) == 31
