import asyncio
import itertools
import json
from contextlib import asynccontextmanager, suppress

import pytest
from tests.helpers.receivers import receiver

from datctl import events as module
from datctl.client import Client
from datctl.errors import ApiError, DatdError, NoDaemon, NotFound, UsageError
from datctl.models_events import ArchiveAdded, ArchiveVersion, Event, FilePut


async def take(stream, count):
    found = []
    async with asyncio.timeout(60):
        async for event in stream:
            found.append(event)
            if len(found) == count:
                break
    await stream.aclose()
    return found


async def tell(api, count=1):
    for _ in range(count):
        api.library.services.events.tell("disk.full", None, reason="x")
    await api.library.services.events.settle()


async def test_events_have_the_class_of_their_kind(api, dat):
    made = await dat.create(title="t", name="n")
    await dat.put("n", "/a.txt", b"hello")
    stream = dat.events(since=0, archive="n", path="/a.txt", kinds=["archive.added", "file.*"])
    added, put = await take(stream, 2)
    assert isinstance(added, ArchiveAdded)
    assert (added.archive, added.name) == (made.key, "n")
    assert isinstance(put, FilePut)
    assert (put.path, put.version, put.size) == ("/a.txt", 2, 5)


async def test_a_connection_that_ends_is_made_again_and_nothing_is_missed(api, dat, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    happened = api.library.services.events
    await tell(api, 3)
    found = []
    async with asyncio.timeout(60):
        async for event in dat.events(since=0):
            found.append(event.id)
            if len(found) % 2 == 0 and len(found) < 8:
                # The daemon sends everybody away; what happens meanwhile is there afterwards.
                happened.end_reading()
                await asyncio.sleep(0)
                await tell(api, 2)
                happened.ended = False
            if len(found) == 9:
                break
    assert found == [str(number) for number in range(1, 10)]


async def test_nobody_answers_at_first_or_for_too_long(api, dat, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    await tell(api)
    stream = dat.events(since=0, patience=0.05)
    assert (await anext(stream)).id == "1"
    # From here on nothing listens at the address.
    dat._connection._endpoint = type(dat.endpoint)("http://127.0.0.1:1")
    api.library.services.events.end_reading()
    with pytest.raises(NoDaemon):
        await asyncio.wait_for(anext(stream), 30)
    with pytest.raises(NoDaemon):
        await anext(dat.events())


STREAM = "text/event-stream"


@asynccontextmanager
async def giving(*answers):
    """A client of something that gives these answers, one a connection, the last one for ever."""
    left = list(answers)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        status, kind, body = left.pop(0) if len(left) > 1 else left[0]
        head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        with suppress(ConnectionError):  # who has seen enough reads no further
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Client(address, env={}) as client:
        yield client


def sent(number):
    event = {"id": str(number), "kind": "x", "at": "2026-01-01T00:00:00Z", "archive": None}
    return 200, STREAM, f"id: {number}\ndata: {json.dumps(event)}\n\n".encode()


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>"),
        (200, STREAM, b"<" * 2**21),
        (200, STREAM, b"id: 1\ndata: {\n\n"),
    ],
)
async def test_what_makes_no_sense_is_not_asked_for_again_and_again(answer):
    async with giving(answer) as dat, asyncio.timeout(60):
        with pytest.raises(DatdError, match="another version"):
            await anext(dat.events())


async def test_a_proxy_that_finds_nobody_behind_it_is_asked_again(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    nobody, late = (502, "text/html", b"<html>"), (504, "text/html", b"<html>")
    async with giving(sent(1), nobody, late, sent(2)) as dat:
        assert [event.id for event in await take(dat.events(since=0), 2)] == ["1", "2"]
    async with giving(nobody) as dat:
        with pytest.raises(ApiError, match="502"):
            await anext(dat.events())


async def test_an_archive_that_is_not_hosted(dat):
    with pytest.raises(NotFound):
        await anext(dat.events(archive="nothing"))


async def test_pages_of_events(api, dat):
    await tell(api, 5)
    first = await dat.event_page(limit=3)
    assert ([event.id for event in first.events], first.next, first.more) == (
        ["1", "2", "3"], "3", True,
    )  # fmt: skip
    second = await dat.event_page(since=first.next, kinds=["disk.*"])
    assert ([event.id for event in second.events], second.more) == (["4", "5"], False)


async def test_webhooks(api, dat):
    async with receiver() as hook:
        with pytest.raises(Exception, match="allow_networks"):
            await dat.add_webhook(hook.url)
    made = await dat.add_webhook("https://a.example/", kinds=("job.*",), enabled=False)
    assert made.secret is not None
    assert (await dat.webhooks())[0].id == made.id
    changed = await dat.change_webhook(made.id, kinds=("disk.*",), enabled=False)
    assert changed == await dat.webhook(made.id)
    assert (changed.kinds, changed.secret) == (["disk.*"], None)
    with pytest.raises(UsageError, match="colour"):
        await dat.change_webhook(made.id, colour="red")
    await dat.remove_webhook(made.id)
    with pytest.raises(NotFound):
        await dat.test_webhook(made.id)


async def pieces(data, size):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize(
    ("size", "end"), list(itertools.product([1, 2, 7, 10_000], [b"\n", b"\r\n"]))
)
async def test_a_stream_is_read_however_it_is_cut(size, end):
    lines = [
        b"retry: 2000", b"id: 4", b"", b": still here", b"", b"id: 5", b"event: archive.version",
        b'data: {"id": "5", "kind": "archive.version", "at": "2026-01-01T00:00:00Z",',
        b'data: "archive": null, "previous": 1, "version": 2}', b"", b"id: 6", b"",
    ]  # fmt: skip
    data = end.join([*lines, b""])
    found = [one async for one in module._parsed(pieces(data, size))]
    assert [(place, event and event.id) for place, event in found] == [
        ("4", None), ("4", None), ("5", "5"), ("6", None),
    ]  # fmt: skip
    assert isinstance(found[2][1], ArchiveVersion)
    assert isinstance(found[2][1], Event)


@pytest.mark.parametrize("data", [b"x" * (2**20 + 1), b"id: 1\ndata: {\n\n", b"id: 1\ndata: 1\n\n"])
async def test_what_is_no_stream_of_events(data):
    with pytest.raises(DatdError, match="another version"):
        [one async for one in module._parsed(pieces(data, 10_000))]
