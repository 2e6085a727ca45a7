"""Files of archives of our own, written over HTTP."""

import asyncio
import json
import random
from urllib.parse import quote

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.daemon import eventually

from datd.hosting.keeping.room import Room

V1 = "/api/v1"
ARCHIVES = f"{V1}/archives"


async def create(api, **fields):
    """A new archive of our own; gives the path of its files."""
    made = await api.post(ARCHIVES, {"new": {}, **fields})
    assert made.status == 201, made
    return f"{ARCHIVES}/{made.json['key']}/files"


async def put(api, files, path, body=b"", *headers):
    return await api.ask(files + quote(path), *headers, method="PUT", body=body)


async def delete(api, files, path, query="", *headers):
    return await api.ask(files + quote(path) + query, *headers, method="DELETE")


async def names(api, files, path="/"):
    listing = await api.ask(f"{files}{path}?recursive=true")
    return [entry["path"] for entry in listing.json["entries"]]


async def test_what_is_put_is_read_and_put_again(api):
    files = await create(api)
    body = bytes(range(256)) * 1000
    made = await put(api, files, "/a/ä.bin", body)
    assert (made.status, made.json["path"], made.json["version"]) == (201, "/a/ä.bin", 1)
    assert (made.json["size"], made.json["blocks"], made.json["available"]) == (256_000, 4, 4)
    read = await api.ask(files + quote("/a/ä.bin"))
    assert (read.body, read.headers["etag"]) == (body, made.headers["etag"])
    again = await put(api, files, "/a/ä.bin", b"other")
    assert (again.status, again.json["version"]) == (200, 2)
    assert again.headers["etag"] != made.headers["etag"]
    assert (await api.ask(files + quote("/a/ä.bin") + "?version=1")).body == body
    assert (await api.ask(files + quote("/a/ä.bin"))).body == b"other"


async def test_an_empty_file_is_a_file(api):
    files = await create(api)
    assert (await put(api, files, "/empty")).json["size"] == 0
    assert (await api.ask(f"{files}/empty")).body == b""


async def test_a_large_body_is_taken_as_it_comes(api):
    files = await create(api, chunking="content")
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    piece, count = random.Random(1).randbytes(2**20), 12
    writer.write(
        f"PUT {files}/big HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    )
    for _ in range(count):
        writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 201")
    entry = json.loads(body)
    assert entry["size"] == count * len(piece)
    assert entry["blocks"] > count * len(piece) / 65536  # cut by content: smaller than 64 KiB
    part = await api.ask(f"{files}/big", f"Range: bytes={3 * 2**20 - 100}-{3 * 2**20 + 99}")
    assert part.body == piece[-100:] + piece[:100]


async def test_who_sends_slowly_keeps_nobody_from_writing(api):
    files = await create(api)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    body = random.Random(2).randbytes(5 * 2**20)
    writer.write(
        f"PUT {files}/slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body[: 3 * 2**20]
    )
    await writer.drain()
    waits = api.library.services.room

    async def arrived():
        return waits.coming >= 2 * 2**20

    await eventually(arrived)
    # Not only in the end, as it would be if writers waited for it in vain.
    async with asyncio.timeout(60):
        assert (await put(api, files, "/quick", b"x")).status == 201
    assert await names(api, files) == ["/quick"]
    writer.write(body[3 * 2**20 :])
    assert (await reader.read()).startswith(b"HTTP/1.1 201")
    writer.close()
    assert (await api.ask(f"{files}/slow")).body == body
    assert waits.coming == 0


async def test_t29_what_is_sent_is_refused_as_soon_as_there_is_no_room(tmp_path):
    async with running_api(tmp_path) as api:
        files = await create(api)
        limit = 3 * 2**20
        api.library.services.room = Room(api.folder, clock=lambda: 0.0, max_bytes=limit)
        refused = await put(api, files, "/big", bytes(8 * 2**20))
        assert (refused.status, refused.kind) == (507, "disk_full")
        assert await names(api, files) == []
        assert (await put(api, files, "/small", bytes(2**20))).status == 201


async def test_a_sender_that_goes_away_leaves_no_file(api):
    files = await create(api)
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        f"PUT {files}/half HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {9 * 2**20}\r\n\r\n".encode()
        + bytes(6 * 2**20)
    )
    await writer.drain()
    writer.close()
    assert (await put(api, files, "/whole", b"x")).status == 201
    assert await names(api, files) == ["/whole"]


async def test_conditions_are_kept(api):
    files = await create(api)
    first = await put(api, files, "/a", b"1", "If-None-Match: *")
    assert first.status == 201
    second = await put(api, files, "/a", b"2", "If-None-Match: *")
    assert (second.status, second.kind) == (412, "precondition")
    assert (await put(api, files, "/a", b"2", 'If-Match: "other"')).kind == "precondition"
    assert (await put(api, files, "/a", b"2", f"If-Match: {first.headers['etag']}")).status == 200
    stale = await delete(api, files, "/a", "", f"If-Match: {first.headers['etag']}")
    assert stale.kind == "precondition"
    assert (await put(api, files, "/new", b"2", "If-Match: *")).kind == "precondition"
    assert (await api.ask(f"{files}/a")).body == b"2"


@pytest.mark.parametrize(
    ("headers", "kind"),
    [(["Content-Range: bytes 0-1/5"], "bad_request"), (["Content-Encoding: gzip"], "media_type")],
)
async def test_t43_a_body_that_means_something_else_is_refused(api, headers, kind):
    files = await create(api)
    assert (await put(api, files, "/a", b"1", *headers)).kind == kind
    assert await names(api, files) == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_older_version_is_not_changed(api, method):
    files = await create(api)
    await put(api, files, "/a", b"1")
    older = files.replace("/files", "+1/files")
    assert (await api.ask(f"{older}/a", method=method)).kind == "bad_request"
    assert (await api.ask(f"{files}/a")).body == b"1"
    newest = files.replace("/files", "+latest/files")
    assert (await api.ask(f"{newest}/a", method=method)).status in (200, 204)


async def test_a_condition_that_says_nothing_overwrites_nothing(api):
    files = await create(api)
    await put(api, files, "/a", b"1")
    for header in ("If-None-Match: abc", "If-None-Match:", "If-Match: abc"):
        answer = await api.ask(f"{files}/a", header, method="PUT", body=b"2")
        assert answer.kind in ("bad_request", "precondition"), header
    assert (await api.ask(f"{files}/a")).body == b"1"


async def test_files_and_folders_are_removed(api):
    files = await create(api)
    for path in ("/a/1", "/a/b/2", "/c"):
        await put(api, files, path, b"x")
    assert (await put(api, files, "/a/empty/")).json["kind"] == "directory"
    assert (await put(api, files, "/a/empty/")).kind == "exists"
    assert (await delete(api, files, "/c")).status == 204
    assert (await delete(api, files, "/c")).kind == "no_such_file"
    assert (await delete(api, files, "/a")).kind == "conflict"
    assert (await delete(api, files, "/a/empty")).status == 204
    assert (await delete(api, files, "/a", "?recursive=true")).status == 204
    assert await names(api, files) == []
    assert len((await api.ask(f"{files}/a/b/2?version=3")).body) == 1


async def test_a_folder_of_many_files_is_removed_in_slices(api):
    files = await create(api)
    for number in range(60):
        await put(api, files, f"/a/{number % 7}/{number}", b"x")
    await put(api, files, "/keep", b"x")
    assert (await delete(api, files, "/a", "?recursive=true")).status == 204
    assert await names(api, files) == ["/keep"]


@pytest.mark.parametrize("path", ["/file/below", "/folder", "/" + "x" * 70_000])
async def test_what_no_reader_could_put_on_a_disk_is_refused(api, path):
    files = await create(api)
    await put(api, files, "/file", b"x")
    await put(api, files, "/folder/x", b"x")
    refused = await put(api, files, path, b"x")
    assert refused.status in (409, 414)
    assert await names(api, files) == ["/file", "/folder/x"]


async def test_a_folder_has_no_bytes(api):
    files = await create(api)
    assert (await put(api, files, "/folder/", b"x")).kind == "bad_request"


async def test_an_archive_of_somebody_else_is_not_written(api):
    hosted = await api.host("archival-nested")
    files = f"{hosted.path}/files"
    assert (await put(api, files, "/mine", b"x")).kind == "forbidden"
    assert (await delete(api, files, "/a.txt")).kind == "forbidden"
    assert (await api.ask(f"{files}/mine")).kind == "no_such_file"


async def test_many_writers_at_once_take_turns(api):
    files = await create(api)
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(put(api, files, f"/{number}", b"%d" % number * 1000))
    listing = (await api.ask(f"{files}/")).json
    assert (len(listing["entries"]), listing["version"]) == (20, 20)
    for number in (0, 7, 19):
        assert (await api.ask(f"{files}/{number}")).body == b"%d" % number * 1000


async def test_a_backslash_in_a_path_means_a_folder_and_removes_nothing_else(api):
    files = await create(api)
    made = await put(api, files, "/a\\b", b"x")
    assert (made.status, made.json["path"]) == (201, "/a/b")
    folder = await put(api, files, "/c\\d/")
    assert (folder.status, folder.json["path"]) == (201, "/c/d")
    assert (await put(api, files, "/c\\d/")).status == 409
    for path in ("/a\\b", "/c\\d"):
        assert (await delete(api, files, path, "?recursive=true")).kind == "no_such_file"
    assert await names(api, files) == ["/a/b", "/c/d"]
