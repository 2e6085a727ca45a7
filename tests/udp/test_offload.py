"""Runs of datagrams against the kernel itself; where it lacks them, that nothing breaks."""

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.udp import offload


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket to send from and one that hears it."""
    with (
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as here,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as there,
    ):
        for sock in (here, there):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(10)
        yield here, there


def needs_segments(sock: socket.socket) -> None:
    if not offload.can_segment(sock):
        pytest.skip("this system sends every datagram by itself")


def heard(sock: socket.socket, count: int) -> list[bytes]:
    """So many datagrams, cut out of what the kernel merged."""
    datagrams: list[bytes] = []
    while len(datagrams) < count:
        data, ancillary, _, _ = sock.recvmsg(65536, offload.ANCILLARY)
        step = offload.segment_size(ancillary) or len(data)
        datagrams += [data[at : at + step] for at in range(0, len(data), step)]
    return datagrams


@pytest.mark.parametrize("merges", [False, True])
def test_a_run_arrives_as_the_datagrams_it_was_made_of(pair, merges):
    here, there = pair
    needs_segments(here)
    assert not merges or offload.merge_arrivals(there)
    run = [bytes([number]) * 1402 for number in range(offload.run_length(1402) - 1)] + [b"short"]
    offload.send_segments(here, run, 1402, there.getsockname())
    assert heard(there, len(run)) == run


def test_the_longest_run_of_every_length_is_taken(pair):
    here, there = pair
    needs_segments(here)
    for size in (1, 20, 576, 1000, 1022, 1402, 1472, 9000, 32_700):
        run = [bytes([number]) * size for number in range(offload.run_length(size))]
        offload.send_segments(here, run, size, there.getsockname())
        assert heard(there, len(run)) == run


def test_a_socket_of_another_kind_has_neither():
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        assert not offload.can_segment(sock)
        assert not offload.merge_arrivals(sock)


def test_utp_sends_46_full_datagrams_in_one_call():
    assert offload.run_length(1402) == 46


@given(st.integers(0, 70_000))
def test_a_run_is_never_longer_than_the_kernel_takes(size):
    length = offload.run_length(size)
    assert 1 <= length <= 64
    assert length == 1 or length * size <= 65_507


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_run_is_equal_lengths_and_a_last_one_that_is_not_longer(sizes):
    expected = set(sizes[:-1]) <= {sizes[0]} and 0 < sizes[-1] <= sizes[0]
    assert offload.is_run(sizes) == expected


@pytest.mark.parametrize(
    ("ancillary", "size"),
    [
        ([], 0),
        ([(17, 104, struct.pack("=i", 1402))], 1402),
        ([(0, 8, b"\0\0\0\0"), (17, 104, struct.pack("=i", 20))], 20),
        ([(17, 104, struct.pack("=i", -1))], 0),
        ([(17, 104, b"\1")], 0),
        ([(17, 103, struct.pack("=i", 9))], 0),
    ],
)
def test_the_size_of_segments_is_read_from_the_message_that_tells_it(ancillary, size):
    assert offload.segment_size(ancillary) == size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a test for Linux")
def test_a_linux_of_today_has_both(pair):
    assert offload.can_segment(pair[0])
    assert offload.merge_arrivals(pair[0])
