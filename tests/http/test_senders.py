import ipaddress

import pytest
from aiohttp.test_utils import make_mocked_request

from datd.http.senders import Senders

PROXIES = [ipaddress.ip_network("127.0.0.1/32"), ipaddress.ip_network("10.0.0.0/8")]


def address(named, remote="127.0.0.1", proxies=PROXIES):
    headers = {} if named is None else {"X-Forwarded-For": named}
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=remote)
    return Senders(proxies).address(request)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.9, 192.0.2.1, 10.1.2.3", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.1.2.3", "10.1.2.3"),
        ("nonsense", "127.0.0.1"),
        ("192.0.2.1, nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
        (None, "127.0.0.1"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_is_the_client(named, meant):
    assert address(named) == meant


def test_strangers_cannot_choose_their_address():
    assert address("192.0.2.1", remote="203.0.113.5") == "203.0.113.5"
    assert address("192.0.2.1", proxies=[]) == "127.0.0.1"
