import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.udp.demultiplex import Kind, kind_of


def packets(file: str, *way: str) -> Iterator[bytes]:
    """Datagrams of a capture; rows are [seconds, from, to, hex, ...]."""
    found = json.loads((vectors("network") / f"{file}.json").read_text())
    for step in way:
        found = found[step]
    for row in found:
        yield bytes.fromhex(row[3])


@pytest.mark.parametrize(
    ("kind", "file", "way"),
    [
        (Kind.UTP, "utp", ["echo"]),
        (Kind.UTP, "utp", ["lossy"]),
        (Kind.DHT, "dht", ["pairTwoNodes"]),
        (Kind.DHT, "dht", ["threeNodes", "seenBy10.99.0.3"]),
        (Kind.DHT, "dht", ["errors"]),
        (Kind.DNS, "dns-h1", ["packets"]),
        (Kind.DNS, "dns-h2", ["packets"]),
    ],
)
def test_each_datagram_of_the_original_programs_goes_to_who_reads_it(kind, file, way):
    assert {kind_of(datagram) for datagram in packets(file, *way)} == {kind}


@pytest.mark.parametrize(
    ("datagram", "kind"),
    [
        (b"", None),
        (b"\x00" * 11, None),
        (b"\x00" * 12, Kind.DNS),
        (b"d", Kind.DHT),
        (b"d1:ad2:id20:", Kind.DHT),
        (b"\x64\x31\x01\x00" + bytes(8), Kind.DNS),  # a push with an id that begins with "d"
        (b"\x64\x00\x80\x00" + bytes(8), Kind.DNS),
        (b"\x41\x00" + bytes(17), Kind.DNS),  # a byte short of a header of uTP
        (b"\x41\x00" + bytes(18), Kind.UTP),
        (b"\x41\x03" + bytes(18), Kind.DNS),  # no such extension
        (b"\x51\x00" + bytes(18), Kind.DNS),  # no such type
        (b"\x42\x00" + bytes(18), Kind.DNS),  # no such version
    ],
)
def test_borders_between_the_kinds(datagram, kind):
    assert kind_of(datagram) is kind


def test_where_only_dns_is_spoken_every_id_of_a_message_is_good():
    for first in range(256):
        for second in (0, 1, 2, 255):
            datagram = bytes([first, second]) + bytes(20)
            assert kind_of(datagram, {Kind.DNS}) is Kind.DNS


@given(st.binary(max_size=64), st.frozensets(st.sampled_from(Kind)))
def test_T31_any_bytes_are_somebodys_who_listens_or_nobodys(datagram, spoken):
    assert kind_of(datagram, spoken) in {*spoken, None}
