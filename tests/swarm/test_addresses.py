from ipaddress import IPv4Network

import pytest

from datd.swarm import addresses
from datd.swarm.addresses import dialable, impossible, loopback
from datd.types import Address

PUBLIC = Address("198.51.100.7", 5300)
NEIGHBOUR = Address("192.168.1.9", 5353)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.251",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "::ffff:224.0.0.1",
        "example.org",
        "1.2.3",
        "010.0.0.1",
    ],
)
def test_t32_nobody_listens_there(host):
    assert impossible(Address(host, 3282))
    assert not dialable(Address(host, 3282), NEIGHBOUR)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_t32_no_such_port(port):
    assert impossible(Address("198.51.100.8", port))
    assert not dialable(Address("198.51.100.8", port), NEIGHBOUR)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("source", [PUBLIC, NEIGHBOUR, Address("127.0.0.1", 5353)])
def test_t32_loopback_never_comes_from_discovery(host, source):
    assert not dialable(Address(host, 3282), source)
    assert impossible(Address(host, 3282)) is None  # by hand it may be given
    assert loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "100.64.0.1",
        "169.254.1.1",
        "172.31.0.1",
        "192.168.0.1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ],
)
def test_t32_private_addresses_only_from_private_sources(host):
    peer = Address(host, 3282)
    assert dialable(peer, NEIGHBOUR)
    assert dialable(peer, Address("127.0.0.1", 5353))
    assert not dialable(peer, PUBLIC)
    assert not dialable(peer, Address("nonsense", 1))


def test_allowed_networks_may_name_and_be_named():
    allow = [IPv4Network("198.51.100.0/24"), IPv4Network("10.5.0.0/16")]
    assert dialable(Address("192.168.0.1", 3282), PUBLIC, allow)
    stranger = Address("203.0.113.1", 5300)
    assert dialable(Address("10.5.1.2", 3282), stranger, allow)
    assert not dialable(Address("10.6.1.2", 3282), stranger, allow)


@pytest.mark.parametrize("host", ["8.8.8.8", "203.0.113.2", "172.32.0.1", "2001:db8::1"])
def test_public_addresses_from_anybody(host):
    assert dialable(Address(host, 1), PUBLIC)
    assert not loopback(host)


def test_what_counts_as_one_host():
    assert addresses.neighbourhood("198.51.100.1") == "198.51.100.1"
    assert addresses.neighbourhood("::ffff:198.51.100.1") == "198.51.100.1"
    assert addresses.neighbourhood("2001:db8::1") == addresses.neighbourhood("2001:db8::ffff:2")
    assert addresses.neighbourhood("2001:db8::1") != addresses.neighbourhood("2001:db8:0:1::1")
    # Within the house everybody counts for himself.
    assert addresses.neighbourhood("fd00::1") != addresses.neighbourhood("fd00::2")
    assert addresses.neighbourhood("fe80::1%2") != addresses.neighbourhood("fe80::2%2")
    assert addresses.neighbourhood("nonsense") == "nonsense"
