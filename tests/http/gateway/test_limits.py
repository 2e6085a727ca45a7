from contextlib import ExitStack

import pytest
from tests.helpers.gateway import running_gateway

from datd.http.gateway import limits
from datd.http.gateway.limits import (
    BURST,
    MAX_ADDRESSES,
    MAX_REQUESTS,
    MAX_REQUESTS_OF_ONE,
    MAX_STREAMS,
    MAX_STREAMS_OF_ONE,
    RATE,
    Doors,
)
from datd.http.problems import Problem


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_l25_sixty_four_requests_at_once_and_then_no_more():
    doors = Doors(Clock())
    with ExitStack() as inside:
        for number in range(MAX_REQUESTS):
            inside.enter_context(doors.request(f"192.0.2.{number}"))
        with pytest.raises(Problem) as caught, doors.request("198.51.100.1"):
            pass
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "2")
    with doors.request("198.51.100.1"):
        pass


def test_l25_no_one_host_shuts_the_others_out():
    doors = Doors(Clock())
    with ExitStack() as inside:
        for number in range(MAX_REQUESTS_OF_ONE):
            inside.enter_context(doors.request(f"2001:db8::{number:x}"))
        with pytest.raises(Problem), doors.request("2001:db8::ffff"):
            pass
        with doors.request("2001:db8:0:1::1"):
            pass


def test_l25_this_host_is_not_counted_since_it_may_be_a_proxy():
    doors = Doors(Clock())
    with ExitStack() as inside:
        for _ in range(MAX_REQUESTS):
            inside.enter_context(doors.request("127.0.0.1"))
        with pytest.raises(Problem), doors.request("127.0.0.1"):
            pass


def test_who_goes_on_asking_is_slowed_down_and_let_in_again():
    clock = Clock()
    doors = Doors(clock)

    def asked():
        with doors.request("192.0.2.1"):
            return True

    assert all(asked() for _ in range(int(BURST)))
    with pytest.raises(Problem) as caught:
        asked()
    assert caught.value.status == 429
    clock.now += 1
    assert all(asked() for _ in range(int(RATE) - 1))
    with pytest.raises(Problem):
        [asked() for _ in range(3)]


def test_addresses_that_are_silent_are_forgotten():
    doors = Doors(Clock())
    for number in range(MAX_ADDRESSES + 10):
        with doors.request(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"):
            pass
    assert len(doors._allowances) == MAX_ADDRESSES


def test_l22_listeners_are_counted_apart():
    doors = Doors(Clock())
    with ExitStack() as inside:
        for number in range(MAX_STREAMS):
            inside.enter_context(doors.stream(f"192.0.2.{number // MAX_STREAMS_OF_ONE}"))
        with pytest.raises(Problem), doors.stream("198.51.100.1"):
            pass
        with doors.request("198.51.100.1"):
            pass


async def test_l25_behind_a_proxy_of_ours_its_clients_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BURST", 1.0)
    monkeypatch.setattr(limits, "RATE", 0.001)
    for proxies, status in (([], 404), (["127.0.0.1"], 429)):
        async with running_gateway(tmp_path / str(status), proxies=proxies) as gateway:
            one, other = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
            assert (await gateway.ask("/nothing/", one)).status == 404
            assert (await gateway.ask("/nothing/", one)).status == status
            assert (await gateway.ask("/nothing/", other)).status == 404
