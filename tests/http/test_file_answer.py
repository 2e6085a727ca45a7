"""A file as an answer; what a browser or a program does with it is in the tests of who sends it."""

from contextlib import asynccontextmanager

import pytest
from tests.helpers.gateway import running_gateway

BODY = bytes(range(256)) * 1000


@asynccontextmanager
async def file_of(folder):
    async with running_gateway(folder) as gateway:
        key = await gateway.make({"a.bin": BODY, "empty": b""})

        async def ask(*headers, method="GET", path="/a.bin"):
            return await gateway.ask(path, *headers, host=gateway.host(key), method=method)

        yield ask


@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=255999-", 206, 255_999, 256_000),
        ("bytes=-5", 206, 255_995, 256_000),
        ("bytes=10-999999", 206, 10, 256_000),
        ("bytes=5-4", 200, 0, 256_000),
        ("lines=1-2", 200, 0, 256_000),
    ],
)
async def test_one_range_is_sent_as_it_was_asked_for(tmp_path, header, status, start, stop):
    async with file_of(tmp_path) as ask:
        answer = await ask(f"Range: {header}")
        assert (answer.status, answer.body) == (status, BODY[start:stop])
        if status == 206:
            assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/256000"
        head = await ask(f"Range: {header}", method="HEAD")
        assert (head.status, head.headers["content-length"]) == (200, "256000")


async def test_a_range_behind_the_end_is_416(tmp_path):
    async with file_of(tmp_path) as ask:
        answer = await ask("Range: bytes=256000-")
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */256000")
        assert (await ask("Range: bytes=0-", path="/empty")).status == 416


async def test_several_ranges_come_in_parts_of_one_answer(tmp_path):
    async with file_of(tmp_path) as ask:
        answer = await ask("Range: bytes=0-1,1000-1001")
        assert answer.status == 206
        boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
        parts = answer.body.split(b"--" + boundary)
        assert parts[1].endswith(b"bytes 0-1/256000\r\n\r\n" + BODY[:2] + b"\r\n")
        assert parts[2].endswith(BODY[1000:1002] + b"\r\n")
        assert parts[3] == b"--\r\n"


async def test_conditions_are_honoured(tmp_path):
    async with file_of(tmp_path) as ask:
        tag = (await ask()).headers["etag"]
        assert not tag.startswith("W/")
        same = await ask(f"If-None-Match: {tag}")
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
        assert (await ask("If-None-Match: *")).status == 304
        assert (await ask('If-None-Match: "another"')).status == 200
        assert (await ask('If-Match: "another"')).status == 412
        assert (await ask(f"If-Match: {tag}")).status == 200
        assert (await ask("Range: bytes=0-0", f"If-Range: {tag}")).status == 206
        assert (await ask("Range: bytes=0-0", 'If-Range: "another"')).body == BODY


async def test_a_head_tells_and_sends_nothing(tmp_path):
    async with file_of(tmp_path) as ask:
        whole, head = await ask(), await ask(method="HEAD")
        assert head.body == b""
        assert whole.headers == head.headers | {"date": whole.headers["date"]}
