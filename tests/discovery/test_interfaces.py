from ipaddress import ip_address

from datd.discovery.interfaces import interfaces, own_addresses, own_hosts


def test_this_host_has_a_loopback_interface():
    found = {one.address: one for one in interfaces()}
    assert found["127.0.0.1"].loopback
    assert found["127.0.0.1"].first
    assert str(found["127.0.0.1"].network) == "127.0.0.0/8"


def test_own_addresses_are_those_of_all_interfaces():
    assert "127.0.0.1" in own_addresses()
    assert own_addresses() == {one.address for one in interfaces()}


def test_own_hosts_are_numeric_addresses_of_either_family():
    assert own_addresses() <= own_hosts()
    for host in own_hosts():
        ip_address(host)
