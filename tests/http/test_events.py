import asyncio
import contextlib
import json
from typing import Any

import pytest
import uvloop
from tests.helpers.api import TOKEN, running_api
from tests.helpers.daemon import eventually

from datd.hosting.telling import events as hosting_events
from datd.hosting.telling.following import BATCH
from datd.http import events
from datd.http.events import MAX_STREAMS

V1 = "/api/v1"


class Stream:
    """One connection to the stream of events, read as a browser reads it."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.status, self.headers = 0, {}
        self.last_id = ""

    async def begin(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}

    async def block(self):
        """The next lines up to an empty one; chunks of the transfer encoding are put together."""
        lines: list[str] = []
        while True:
            raw = await self.reader.readline()
            if not raw.endswith(b"\n"):
                raise EOFError
            line = raw.decode().rstrip("\r\n")
            if not lines and line == "":
                continue
            if line == "0" and not lines:
                raise EOFError  # the last chunk
            if line == "":
                return lines
            if lines or ":" in line:  # else the size of a chunk
                lines.append(line)

    async def event(self):
        while True:
            fields = dict(line.split(": ", 1) for line in await self.block())
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                document = json.loads(fields["data"])
                assert (document["id"], document["kind"]) == (fields["id"], fields["event"])
                return document

    def close(self):
        self.writer.close()


@contextlib.asynccontextmanager
async def stream(api, query="", *headers, token=TOKEN):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    lines = [
        f"GET {V1}/events{query} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}",
        *headers, "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode())
    made = Stream(reader, writer)
    try:
        async with asyncio.timeout(60):
            await made.begin()
            yield made
    finally:
        made.close()


async def tell(api, count=1):
    for _ in range(count):
        api.library.services.events.tell("disk.full", None, reason="x")
    await api.library.services.events.settle()


async def page(api, query=""):
    answer = await api.ask(f"{V1}/events?format=json{query}")
    assert answer.status == 200, answer
    return answer.json


async def test_events_come_as_they_happen_and_a_reader_goes_on_where_it_was(api):
    async with stream(api) as first:
        assert first.status == 200
        assert first.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert first.headers["x-accel-buffering"] == "no"
        assert first.headers["cache-control"] == "no-store"
        assert (await first.block()) == ["retry: 2000", "id: 0"]
        made = await api.post(f"{V1}/archives", {"new": {"title": "t"}, "name": "n"})
        added = await first.event()
        assert added["kind"] == "archive.added"
        assert (added["archive"], added["name"]) == (made.json["key"], "n")
        assert (await first.event())["kind"] == "archive.version"
    await tell(api, 3)
    newest = api.library.services.events.newest
    async with stream(api, "", f"Last-Event-ID: {first.last_id}") as again:
        found = [int((await again.event())["id"]) for _ in range(newest - int(first.last_id))]
        assert found == list(range(int(first.last_id) + 1, newest + 1))
    # A browser asks for the address it was given, again and again: what it remembers is newer.
    async with stream(api, "?since=0", f"Last-Event-ID: {newest - 1}") as after_all_others:
        assert (await after_all_others.event())["id"] == str(newest)
    async with stream(api, "?since=0", "Last-Event-ID: ") as all_of_them:
        assert (await all_of_them.event())["id"] == "1"


async def test_files_of_a_version_are_told_at_a_path(api):
    made = await api.post(f"{V1}/archives", {"new": {"title": "t"}, "name": "n"})
    async with stream(api, "?archive=n&path=/a.txt&kind=file.*&kind=archive.version") as reading:
        for method in ("PUT", "DELETE"):
            body = b"hello" if method == "PUT" else b""
            await api.ask(f"{V1}/archives/n/files/a.txt", method=method, body=body)
            await api.ask(f"{V1}/archives/n/files/other", method="PUT", body=b"x")
        found: list[dict[str, Any]] = []
        while not any(one["kind"] == "file.deleted" for one in found):
            found.append(await reading.event())
    files = [one for one in found if one["kind"].startswith("file.")]
    assert [(one["kind"], one["path"], one["version"]) for one in files] == [
        ("file.put", "/a.txt", 2), ("file.deleted", "/a.txt", 4),
    ]  # fmt: skip
    assert {one["archive"] for one in found} == {made.json["key"]}


async def test_who_waits_for_a_page_and_goes_leaves_nothing_behind(api):
    request = f"GET {V1}/events?format=json&wait=600 HTTP/1.1\r\nHost: localhost\r\n"
    listening = api.library.services.events._listeners
    before = len(listening)
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"{request}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
    await eventually(lambda: len(listening) > before)
    writer.close()
    await eventually(lambda: len(listening) == before)


async def test_pages_for_who_would_rather_ask(api):
    await tell(api, 5)
    first = await page(api, "&since=0&limit=3")
    assert [one["id"] for one in first["events"]] == ["1", "2", "3"]
    assert (first["next"], first["more"]) == ("3", True)
    second = await page(api, f"&since={first['next']}")
    assert [one["id"] for one in second["events"]] == ["4", "5"]
    assert (second["next"], second["more"]) == ("5", False)
    assert (await page(api))["events"] == []


async def test_a_page_that_would_be_empty_waits_for_the_next_event(api):
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(page(api, "&wait=60"))
        await eventually(
            lambda: api.library.services.events._listeners - {api.library.herald.webhooks}
        )
        await tell(api)
    assert [one["id"] for one in waiting.result()["events"]] == ["1"]
    assert (await page(api, "&since=1&wait=0.1"))["events"] == []


@pytest.mark.parametrize(
    "query",
    ["?since=x", "?since=-1", "?since=1.2.3", "?kind=archive", "?kind=nothing.*", "?path=/a",
     "?limit=0", "?limit=1001", "?wait=-1", "?wait=601", "?format=xml", "?nonsense=1"],
)  # fmt: skip
async def test_what_makes_no_sense_is_a_bad_request(api, query):
    assert (await api.ask(f"{V1}/events{query}")).kind == "bad_request"


async def test_an_archive_that_is_not_hosted(api):
    assert (await api.ask(f"{V1}/events?archive=nothing")).kind == "unknown_archive"


async def test_a_bad_last_event_id_is_a_bad_request(api):
    answer = await api.ask(f"{V1}/events", "Last-Event-ID: ' OR 1=1")
    assert answer.kind == "bad_request"


async def test_head_tells_what_get_would_be(api):
    answer = await api.ask(f"{V1}/events", method="HEAD")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_a_silent_stream_says_that_it_is_there_and_where_it_is(api, monkeypatch):
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(events, "_LOOK_SECONDS", 0.02)
    async with stream(api, "?kind=job.ended") as reading:
        assert (await reading.block())[-1] == "id: 0"
        assert await reading.block() == [": still here"]
        await tell(api, 2)
        found = await reading.block()
        while found == [": still here"]:
            found = await reading.block()
        # None of them was wanted; they need not be looked at again.
        assert found == ["id: 2"]


async def test_l22_more_streams_than_there_may_be_are_told_when_to_come_again(api):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_STREAMS):
            assert (await stack.enter_async_context(stream(api))).status == 200
        refused = await api.ask(f"{V1}/events")
        assert (refused.status, refused.kind) == (503, "busy")
        assert refused.headers["retry-after"] == "10"
        # Whoever asks for pages is not kept out by that.
        assert (await page(api))["events"] == []

    async def free():
        async with stream(api) as reading:
            return reading.status == 200

    await eventually(free, what="a place")


async def test_l23_a_reader_that_takes_nothing_is_cut_off(api, monkeypatch):
    large = "x" * 10_000
    async with stream(api) as reading:
        happened = api.library.services.events
        # More than all buffers on the way hold.
        for _ in range(3 * hosting_events.RECENT):
            happened.tell("disk.full", None, reason=large)
        await happened.settle()
        for _ in range(3):
            await tell(api, hosting_events.RECENT // 2)
        found: list[int] = []
        with contextlib.suppress(EOFError, ConnectionError):
            while len(found) < happened.newest:
                found.append(int((await reading.event())["id"]))
    # What came is whole; the rest is there for who comes again.
    assert found == list(range(1, len(found) + 1))
    assert len(found) < happened.newest
    async with stream(api, f"?since={found[-1]}") as again:
        assert (await again.event())["id"] == str(found[-1] + 1)


def test_l23_who_takes_nothing_is_cut_off_in_the_daemons_loop_too(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "MAX_STREAMS", 1)

    async def story() -> None:
        async with running_api(tmp_path) as api, stream(api):
            happened = api.library.services.events
            # Sent in one go, and more than all buffers on the way hold.
            for _ in range(BATCH):
                happened.tell("disk.full", None, reason="x" * 60_000)
            await happened.settle()

            async def free() -> bool:
                await tell(api, hosting_events.RECENT // 2)
                async with stream(api) as other:
                    return bool(other.status == 200)

            await eventually(free, what="the place of who takes nothing")

    # Its transports are none of asyncio's.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_t43_streams_end_with_the_daemon(api):
    async with stream(api) as reading:
        api.library.services.events.end_reading()
        with pytest.raises(EOFError):
            await reading.event()


async def test_who_may_see_one_archive_hears_of_that_one(api):
    one, other = [
        (await api.post(f"{V1}/archives", {"new": {"title": title}})).json["key"]
        for title in ("one", "other")
    ]
    await tell(api)
    made = await api.post(f"{V1}/tokens", {"name": "narrow", "scope": "read", "archives": [one]})
    assert made.status == 201, made
    secret = made.json.get("secret") or made.json.get("token")
    answer = await api.ask(f"{V1}/events?format=json&since=0", token=secret)
    assert {event["archive"] for event in answer.json["events"]} == {one}
    hidden = await api.ask(f"{V1}/events?format=json&archive={other}", token=secret)
    assert hidden.status in (403, 404)


async def test_t42_a_stream_ends_with_its_token(api):
    made = (await api.post(f"{V1}/tokens", {"name": "short", "scope": "read"})).json
    async with stream(api, token=made["token"]) as reading:
        await tell(api)
        assert (await reading.event())["id"] == "1"
        assert (await api.ask(f"{V1}/tokens/{made['id']}", method="DELETE")).status == 204
        await tell(api)
        with pytest.raises(EOFError):
            await reading.event()
