from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.naming.destinations import public


@pytest.mark.parametrize(
    "host",
    ["1.1.1.1", "9.9.9.9", "172.15.0.1", "172.32.0.1", "192.0.1.1", "100.63.255.255",
     "2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808",
     "2002:808:808::1", "192.0.2.7", "2001:db8::7"],
)  # fmt: skip
def test_t49_public_addresses_may_be_asked(host):
    assert public(host)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1",
     "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.0.8",
     "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
     "fe80::1%eth0", "2606:4700::1111%1", "fc00::1", "fd12::1", "fec0::1", "ff02::1",
     "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "::ffff:169.254.169.254",
     "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2002:c0a8:101::1",
     "2001::1", "100::1", "::ffff:0:127.0.0.1"],
)  # fmt: skip
def test_t49_others_may_not(host):
    assert not public(host)


@pytest.mark.parametrize(
    "host", ["", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "1.1.1.1.", "a.b"]
)
def test_t49_only_whole_addresses_are_addresses(host):
    assert not public(host)


def test_t49_a_setting_opens_a_network_in_each_spelling():
    allow = [ip_network("127.0.0.0/8"), ip_network("fd00::/8")]
    assert public("127.0.0.1", allow)
    assert public("::ffff:127.0.0.1", allow)
    assert public("fd00::7", allow)
    assert not public("10.0.0.1", allow)
    assert not public("fe80::1", allow)


@given(st.ip_addresses(v=4))
def test_t49_no_disguise_makes_an_address_public(ip):
    number = int(ip)
    for disguise in (
        f"::ffff:{ip}",
        f"64:ff9b::{ip}",
        f"2002:{number >> 16:x}:{number & 65535:x}::",
    ):
        assert public(disguise) == public(str(ip))
