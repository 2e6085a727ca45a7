import random
from ipaddress import ip_address, ip_network

import pytest

from datd.swarm.rules import AddressRules


def rules(allow: str = "", block: str = "") -> AddressRules:
    return AddressRules(
        allow=[ip_network(one) for one in allow.split()],
        block=[ip_network(one) for one in block.split()],
    )


def test_without_rules_everybody_is_welcome():
    assert rules().refusal("203.0.113.1") is None
    assert rules().refusal("2001:db8::1") is None


def test_who_is_blocked_is_refused_and_told_why():
    made = rules(block="203.0.113.0/24 198.51.100.7/32 2001:db8::/32")
    assert made.refusal("203.0.113.200") == "203.0.113.200 is blocked by the network 203.0.113.0/24"
    assert made.refusal("198.51.100.7")
    assert made.refusal("2001:db8:5::1")
    assert made.refusal("198.51.100.8") is None
    assert made.refusal("2001:db9::1") is None


def test_with_an_allow_list_only_those_are_welcome_and_blocked_ones_are_not():
    made = rules(allow="10.0.0.0/8", block="10.9.0.0/16")
    assert made.refusal("10.1.2.3") is None
    assert "allowed" in str(made.refusal("203.0.113.1"))
    assert "allowed" in str(made.refusal("2001:db8::1"))
    assert "blocked" in str(made.refusal("10.9.1.1"))


@pytest.mark.parametrize("host", ["::ffff:203.0.113.5", "::ffff:cb00:7105"])
def test_another_spelling_does_not_go_round_the_rules(host):
    assert rules(block="203.0.113.0/24").refusal(host)
    assert rules(allow="203.0.113.0/24").refusal(host) is None


def test_what_is_no_address_is_refused():
    assert "numeric" in str(rules(block="203.0.113.0/24").refusal("example.org"))


def test_they_say_the_same_as_looking_at_each_network():
    chance = random.Random(1)
    networks = []
    for _ in range(200):
        length = chance.randrange(1, 33)
        networks.append(ip_network((chance.randrange(2**32), length), strict=False))
    for chosen in (networks[:20], networks):
        made = AddressRules(block=chosen)
        for _ in range(500):
            ip = ip_address(chance.randrange(2**32))
            blocked = any(ip in network for network in chosen)
            assert (made.refusal(str(ip)) is not None) == blocked
