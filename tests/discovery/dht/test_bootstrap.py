import asyncio
import threading

import pytest

from datd.discovery.dht.bootstrap import Entry, entry_of, resolve
from datd.errors import ConfigError
from datd.types import Address


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("dat.example.org:6881", Entry("dat.example.org", 6881)),
        ("dat.example.org", Entry("dat.example.org", 6881)),
        ("10.0.0.1:1", Entry("10.0.0.1", 1)),
        ("[2001:db8::1]:7000", Entry("2001:db8::1", 7000)),
        ("[2001:db8::1]", Entry("2001:db8::1", 6881)),
        ("2001:db8::1", Entry("2001:db8::1", 6881)),
    ],
)
def test_nodes_are_named_by_host_and_port(text, entry):
    assert entry_of(text) == entry


@pytest.mark.parametrize(
    "text", ["", ":6881", "host:", "host:0", "host:65536", "host:x", "http://host", "[::1", "a b"]
)
def test_what_names_no_node_is_refused(text):
    with pytest.raises(ConfigError, match="expected host:port"):
        entry_of(text)


async def found_for(entries, look_up=None) -> list[Address]:
    done: asyncio.Future[list[Address]] = asyncio.get_running_loop().create_future()
    resolve(entries, done.set_result, look_up)
    async with asyncio.timeout(20):
        return await done


async def test_numbers_are_not_looked_up():
    def look_up(host: str) -> list[str]:
        raise AssertionError(host)

    assert await found_for([Entry("10.0.0.1", 1), Entry("::1", 2)], look_up) == [
        Address("10.0.0.1", 1),
        Address("::1", 2),
    ]


async def test_names_are_looked_up_and_one_that_fails_costs_no_other():
    def look_up(host: str) -> list[str]:
        if host == "bad":
            raise OSError("no such name")
        if host == "worse":
            raise UnicodeError("label too long")
        return ["10.0.0.2", "2001:db8::2"]

    entries = [Entry("bad", 1), Entry("10.0.0.1", 1), Entry("worse", 1), Entry("good", 7)]
    assert await found_for(entries, look_up) == [
        Address("10.0.0.1", 1),
        Address("10.0.0.2", 7),
        Address("2001:db8::2", 7),
    ]


async def test_t31_a_name_with_a_thousand_addresses_is_cut():
    def look_up(host: str) -> list[str]:
        return [f"10.0.0.{at}" for at in range(250)]

    assert len(await found_for([Entry("many", 1)], look_up)) == 8


async def test_numbers_are_known_even_if_no_thread_is_left_for_names():
    before = threading.stack_size(2**50)  # no address space has room for such a thread
    try:
        found = await found_for([Entry("name", 1), Entry("10.0.0.1", 1)], lambda host: [])
    finally:
        threading.stack_size(before)
    assert found == [Address("10.0.0.1", 1)]


async def test_the_system_knows_localhost():
    assert Address("127.0.0.1", 5) in await found_for([Entry("localhost", 5)])


def test_nobody_waits_for_a_name_at_the_end():
    go_on = threading.Event()

    def look_up(host: str) -> list[str]:
        go_on.wait(20)
        return []

    async def story() -> None:
        resolve([Entry("slow", 1)], lambda addresses: None, look_up)

    before = set(threading.enumerate())  # one of another test may just be ending
    asyncio.run(story())  # ends while the name is still being looked up
    (worker,) = set(threading.enumerate()) - before
    go_on.set()
    worker.join(20)
    assert not worker.is_alive()
