from ipaddress import ip_network

import pytest

from datd.swarm.gate import MAX_SELVES, Gate
from datd.swarm.rules import AddressRules
from datd.types import Address

PUBLIC = Address("203.0.113.1", 3282)
SERVER = Address("198.51.100.1", 5300)
DAY = 86400.0


def gate(block: str = "192.0.2.0/24") -> Gate:
    return Gate(AddressRules(block=[ip_network(block)]), [])


def test_an_ordinary_address_is_welcome():
    assert gate().welcome(PUBLIC, SERVER, 0.0)
    assert gate().objection(PUBLIC) is None


def test_blocked_impossible_and_private_ones_are_not():
    made = gate()
    assert not made.welcome(Address("192.0.2.9", 3282), SERVER, 0.0)
    assert not made.welcome(Address("203.0.113.1", 0), SERVER, 0.0)
    assert not made.welcome(Address("10.0.0.1", 3282), SERVER, 0.0)
    assert "blocked" in str(made.objection(Address("192.0.2.9", 3282)))
    assert "port" in str(made.objection(Address("203.0.113.1", 0)))
    assert made.objection(Address("10.0.0.1", 3282)) is None  # by hand


def test_where_we_met_ourselves_we_do_not_go_for_a_day():
    made = gate()
    assert made.met_self(PUBLIC, 0.0) == DAY
    assert not made.welcome(PUBLIC, SERVER, DAY - 1)
    assert made.welcome(PUBLIC, SERVER, DAY + 1)


def test_our_public_address_is_what_is_known_last():
    made = gate()
    assert made.seen_at("203.0.113.1", 3282) == PUBLIC
    assert not made.welcome(PUBLIC, SERVER, 0.0)
    assert made.welcome(Address("203.0.113.1", 3283), SERVER, 0.0)  # a neighbour behind our NAT
    assert made.seen_at("203.0.113.1", None) is None
    assert made.welcome(PUBLIC, SERVER, 0.0)


def test_memory_of_ourselves_is_bounded():
    made = gate()
    for port in range(1, 3 * MAX_SELVES):
        made.met_self(Address("203.0.113.1", port), 0.0)
    known = [port for port in range(1, 1000) if made.is_self(Address("203.0.113.1", port), 1.0)]
    assert len(known) == MAX_SELVES


HERE, HERE6 = "10.0.0.5", "2001:db8::5"


class Interfaces:
    """Of this host; counts how often they are looked at."""

    looks = 0
    hosts = frozenset([HERE, HERE6])

    def look(self) -> frozenset[str]:
        self.looks += 1
        return self.hosts


@pytest.mark.parametrize("host", [HERE, HERE6, f"::ffff:{HERE}"])
@pytest.mark.parametrize("teller", ["10.0.0.1", "198.51.100.1"])
def test_t32_others_do_not_send_us_to_what_listens_on_this_host(host, teller):
    made = Gate(AddressRules(), [], Interfaces().look)
    assert not made.welcome(Address(host, 22), Address(teller, 5300), 0.0)
    assert made.objection(Address(host, 22)) is None  # by hand it may be given


@pytest.mark.parametrize("teller", ["127.0.0.1", "::1", HERE, HERE6, f"::ffff:{HERE}"])
def test_another_daemon_on_this_host_is_found_from_here(teller):
    made = Gate(AddressRules(), [], Interfaces().look)
    here = HERE6 if teller == HERE6 else HERE
    assert made.welcome(Address(here, 3283), Address(teller, 5353), 0.0)


def test_interfaces_are_looked_at_every_ten_seconds_and_only_for_candidates():
    interfaces = Interfaces()
    made = Gate(AddressRules(), [], interfaces.look)
    assert not made.welcome(Address("10.0.0.9", 0), Address("10.0.0.1", 5353), 0.0)
    assert interfaces.looks == 0
    for time in range(20):
        assert made.welcome(Address("10.0.0.9", 3282), Address("10.0.0.1", 5353), float(time))
    assert interfaces.looks == 2
    interfaces.hosts = frozenset(["10.0.0.9"])
    assert made.welcome(Address("10.0.0.9", 3282), Address("10.0.0.1", 5353), 19.9)
    assert not made.welcome(Address("10.0.0.9", 3282), Address("10.0.0.1", 5353), 20.0)
