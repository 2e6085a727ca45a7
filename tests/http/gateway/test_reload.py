import asyncio
import contextlib

import pytest
from tests.helpers.daemon import eventually

from datd.http.gateway import reload
from datd.http.gateway.limits import MAX_REQUESTS_OF_ONE


@contextlib.asynccontextmanager
async def listening(gateway, key, known):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    with contextlib.closing(writer):
        target = f"/.datd/events?from={known}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {gateway.host(key)}\r\n\r\n".encode())
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"text/event-stream" in head
            assert b"access-control" not in head.lower()
            yield reader


async def test_a_listener_is_told_of_the_next_version(gateway):
    key = await gateway.make({"a.txt": "A"})
    async with listening(gateway, key, 1) as reader:
        await reader.readuntil(b"retry: 2000")
        await gateway.put(key, "b.txt", "B")
        assert await reader.readuntil(b"data: 2\n\n")


async def test_what_came_before_somebody_listened_is_told_at_once(gateway):
    key = await gateway.make({"a.txt": "A", "b.txt": "B"})
    async with listening(gateway, key, 1) as reader:
        assert b"event: version" in await reader.readuntil(b"data: 2\n\n")


async def test_a_listener_of_an_archive_that_is_paused_is_sent_away(gateway):
    key = await gateway.make({"a.txt": "A"})
    async with listening(gateway, key, 1) as reader:
        await reader.readuntil(b"retry: 2000")
        await gateway.archive(key).pause()
        assert await reader.readuntil(b"0\r\n\r\n")


async def test_listeners_take_no_place_of_requests(gateway):
    key = await gateway.make({"a.txt": "A"})
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_REQUESTS_OF_ONE + 5):
            reader = await stack.enter_async_context(listening(gateway, key, 1))
            await reader.readuntil(b"retry: 2000")
        assert (await gateway.ask("/a.txt", host=gateway.host(key))).status == 200


@pytest.mark.parametrize("known", ["", "x", "-1", "1" * 17])
async def test_who_does_not_say_what_it_shows_is_told_to(gateway, known):
    key = await gateway.make({"a.txt": "A"})
    answer = await gateway.ask(f"/.datd/events?from={known}", host=gateway.host(key))
    assert answer.kind == "bad_request"


async def test_a_page_holds_the_script_only_if_its_address_says_so(gateway):
    key = await gateway.make({"a.html": "<p>a", "a.txt": "a"})
    host = gateway.host(key)
    assert (await gateway.ask("/a.html", host=host)).body == b"<p>a"
    live = await gateway.ask("/a.html?live", host=host)
    assert live.body.startswith(b'<p>a\n<script src="/.datd/live.js" data-version="2"')
    assert "etag" not in live.headers
    assert (await gateway.ask("/a.txt?live", host=host)).body == b"a"
    assert (await gateway.ask("/a.html?live&version=1", host=host)).body == b"<p>a"
    script = await gateway.ask(reload.SCRIPT, host=host)
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"


async def test_a_page_too_large_for_memory_is_sent_as_it_is(gateway, monkeypatch):
    monkeypatch.setattr(reload, "MAX_LIVE_PAGE", 3)
    key = await gateway.make({"a.html": "<p>a"})
    assert (await gateway.ask("/a.html?live", host=gateway.host(key))).body == b"<p>a"


async def test_t46_a_listener_does_not_hear_when_something_happens_to_other_archives(gateway):
    key = await gateway.make({"a.txt": "A"})
    other = await gateway.make({"b.txt": "B"})
    async with listening(gateway, key, 1) as reader:
        await reader.readuntil(b"retry: 2000\n\n\r\n")
        events = gateway.library.services.events
        for number in range(3):
            before = events.newest
            await gateway.put(other, f"{number}.txt", "x")
            await eventually(lambda before=before: events.newest > before, what="an event")
        await gateway.put(key, "a.txt", "AA")
        heard = await reader.readuntil(b"data: 2\n\n")
        assert b"\n:" not in heard


async def test_a_page_of_an_archive_that_is_pinned_is_not_reloaded_again_and_again(gateway):
    key = await gateway.make({"a.txt": "A", "b.txt": "B"})
    gateway.archive(key).record.pinned = 1
    async with listening(gateway, key, 1) as reader:
        await reader.readuntil(b"retry: 2000\n\n\r\n")
        await gateway.put(key, "c.txt", "C")
        await gateway.archive(key).pause()
        assert b"version" not in await reader.readuntil(b"0\r\n\r\n")
