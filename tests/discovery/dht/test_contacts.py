import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dht.contacts import (
    Contact,
    acceptable,
    crowded,
    decode_address,
    decode_nodes,
    encode_address,
    encode_nodes,
    family_of,
    local,
    network_of,
    packed,
    possible,
)
from datd.types import Address

OUTER, INNER = Address("8.8.8.8", 6881), Address("10.0.0.1", 6881)
CONTACT = Contact(b"i" * 20, Address("10.99.0.2", 6881))
CONTACT6 = Contact(b"j" * 20, Address("2001:db8::7", 6881))


@pytest.mark.parametrize("contact", [CONTACT, CONTACT6])
def test_compact_forms_go_both_ways(contact):
    family = family_of(contact.address)
    compact = encode_nodes([contact, contact])
    assert len(compact) == 2 * {4: 26, 6: 38}[family]
    assert decode_nodes(compact, family) == [contact, contact]
    assert decode_address(encode_address(contact.address)) == contact.address


def test_the_bytes_are_those_of_bep_5():
    assert encode_address(CONTACT.address) == bytes([10, 99, 0, 2, 0x1A, 0xE1])


def test_an_incomplete_node_is_ignored():
    assert decode_nodes(encode_nodes([CONTACT])[:-1], 4) == []
    assert decode_address(b"12345") is None


@pytest.mark.parametrize(
    "host",
    ["", "dat.example", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.²", "fe80::1%2", ":"],
)
def test_what_is_no_address_has_no_bytes(host):
    assert packed(host) is None
    assert not possible(Address(host, 1))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("0.0.0.0", 1), ("0.1.2.3", 1), ("224.0.0.251", 1), ("255.255.255.255", 1)),
        *(("240.0.0.1", 1), ("8.8.8.8", 0), ("8.8.8.8", 65536)),
        *(("::", 1), ("ff02::fb", 1), ("::ffff:10.0.0.1", 1), ("2001:db8::1", 0)),
    ],
)
def test_t32_where_no_node_can_be(host, port):
    assert not possible(Address(host, port))
    assert not acceptable(Address(host, port), INNER)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
        *("169.254.1.1", "100.64.0.1", "::1", "fe80::1", "fd00::1"),
    ],
)
def test_t32_inner_nodes_are_named_by_inner_nodes_only(host):
    assert local(host)
    assert acceptable(Address(host, 1), INNER)
    assert not acceptable(Address(host, 1), OUTER)


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "192.169.0.1", "203.0.113.5", "2001:4860::1"]
)
def test_outer_nodes_may_be_named_by_anybody(host):
    assert not local(host)
    assert acceptable(Address(host, 1), OUTER)
    assert acceptable(Address(host, 1), INNER)


def test_only_inner_and_test_networks_are_crowded():
    assert crowded("10.0.0.1")
    assert crowded("203.0.113.5")
    assert crowded("2001:db8::1")
    assert not crowded("8.8.8.8")
    assert not crowded("2001:4860::1")


def test_an_owner_has_a_24_or_a_48():
    assert network_of("8.8.8.8") == network_of("8.8.8.9") != network_of("8.8.9.8")
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:3::1")
    assert network_of("2001:db8:1::1") != network_of("2001:db8:2::1")


@given(st.text(max_size=30))
def test_t31_any_text_is_looked_at_without_an_exception(host):
    address = Address(host, 1)
    assert possible(address) <= (packed(host) is not None)
    assert acceptable(address, address) <= possible(address)
    crowded(host)
    network_of(host)
