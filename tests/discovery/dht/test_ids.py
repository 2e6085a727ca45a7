import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dht.ids import distance, fits, id_for, id_in_bucket

# The table of BEP 42: address, last byte, the first three bytes (21 bits count).
BEP_42 = [
    ("124.31.75.21", 1, "5fbfbf"),
    ("21.75.31.124", 86, "5a3ce9"),
    ("65.23.51.170", 22, "a5d432"),
    ("84.124.73.14", 65, "1b0321"),
    ("43.213.53.83", 90, "e56f6c"),
]


@pytest.mark.parametrize(("host", "last", "prefix"), BEP_42)
def test_ids_are_those_of_bep_42(host, last, prefix):
    wanted = bytes.fromhex(prefix)
    made = id_for(host, wanted[2:3] * 19 + bytes([last]))
    assert made[:2] == wanted[:2]
    assert made[2] == wanted[2]
    assert fits(made, host)
    assert not fits(made, "124.31.75.22" if host != "124.31.75.22" else "1.1.1.1")


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "203.0.113.9", "fe80::1"])
def test_on_inner_networks_every_id_fits(host):
    assert fits(b"x" * 20, host)
    assert id_for(host, b"x" * 20) == b"x" * 20


def test_without_an_address_an_id_is_random():
    assert id_for(None, bytes(range(20))) == bytes(range(20))


def test_what_is_no_address_fits_nothing():
    assert not fits(b"x" * 20, "somewhere")


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=16, max_size=16))
def test_an_id_of_ipv6_fits_its_network_only(random, host):
    text = "2a00:" + ":".join(host[at : at + 2].hex() for at in range(2, 16, 2))
    made = id_for(text, random)
    assert fits(made, text)
    assert made[3:] == random[3:]


def test_distance_is_xor():
    assert distance(b"\1" * 20, b"\1" * 20) == 0
    assert distance(bytes(19) + b"\5", bytes(19) + b"\6") == 3


@given(st.binary(min_size=20, max_size=20), st.integers(0, 159), st.integers(0, 2**160 - 1))
def test_an_id_in_a_bucket_shares_just_so_many_bits(own, index, random):
    assert 160 - distance(own, id_in_bucket(own, index, random)).bit_length() == index
