import asyncio
import hashlib
import re
from datetime import datetime

import pytest

from datctl.models import Listing

NAMES_TO_TRY = [
    "..", "../..", "%2e%2e", "%2e%2e/%2e%2e/etc/passwd", "a/../../b", "./a", "a//b", "%00", "a%00b",
    "%ff", "%ff%zz", "%", "%zz", "a\\b", "%5c", "..%5c..", "%2f%2f", "x" * 10_000, "%c0%af",
    "a%0d%0aSet-Cookie:x", "%E2%80%AE", "é", "~", ";", "a?b=c", "a%3Fb", "*", "con", "%F0%9F",
]  # fmt: skip


def files_of(hosted):
    """Path and digest of each file of the newest version, as the reference has them."""
    puts = {(name, version): digest for version, name, digest in puts_of(hosted)}
    listed = hosted.expected["listings"][str(hosted.expected["version"])]
    return {name: puts[name, version] for name, version in listed if (name, version) in puts}


def puts_of(hosted):
    """Version, path and digest of every regular file that was ever put."""
    return [
        (version, name, digest)
        for version, kind, name, stat, digest in hosted.expected["history"]
        if kind == "put" and stat["mode"] & 0o170000 == 0o100000
    ]


def quoted(name):
    """Every byte in percent encoding but the slashes."""
    return "".join(f"%{byte:02X}" if byte != 0x2F else "/" for byte in name.encode())


async def test_every_file_of_the_reference_is_served_as_it_was_written(api):
    for name in ("archival-nested", "archival-history", "archival-big"):
        hosted = await api.host(name)
        found = files_of(hosted)
        assert found
        for path, digest in found.items():
            answer = await api.ask(f"{hosted.path}/files{quoted(path)}")
            assert answer.status == 200, path
            assert hashlib.sha256(answer.body).hexdigest() == digest, path


async def test_the_listing_names_every_file_below(api):
    hosted = await api.host("archival-nested")
    answer = await api.ask(f"{hosted.path}/files/?recursive=true")
    listing = Listing.model_validate_json(answer.body)
    assert set(files_of(hosted)) <= {entry.path for entry in listing.entries}
    assert listing.version == hosted.expected["version"]
    assert listing.next_cursor is None


@pytest.mark.parametrize("path", ["/files", "/files/", "/files/a", "/files/a/", "/files/a/b/c/"])
async def test_a_folder_is_listed_with_or_without_its_slash(api, path):
    hosted = await api.host("archival-nested")
    answer = await api.ask(hosted.path + path)
    listing = Listing.model_validate_json(answer.body)
    assert listing.path == path.removeprefix("/files").rstrip("/") or "/"
    assert listing.entries


@pytest.mark.parametrize("recursive", ["false", "true"])
async def test_l24_pages_of_a_folder_show_each_entry_once(api, recursive):
    hosted = await api.host("archival-nested")
    whole = (await api.ask(f"{hosted.path}/files/?recursive={recursive}")).json["entries"]
    seen, cursor = [], None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        page = (await api.ask(f"{hosted.path}/files/?recursive={recursive}&limit=3{more}")).json
        seen += page["entries"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == whole


async def test_an_older_version_is_served_and_may_be_kept(api):
    hosted = await api.host("archival-history")
    version, name, digest = puts_of(hosted)[0]
    answer = await api.ask(f"{hosted.path}/files{quoted(name)}?version={version}")
    assert hashlib.sha256(answer.body).hexdigest() == digest
    assert "immutable" in answer.headers["cache-control"]
    newest = await api.ask(f"{hosted.path}/files/")
    assert newest.status == 200
    unknown = await api.ask(f"{hosted.path}/files/?version=99999")
    assert unknown.kind == "no_such_version"


@pytest.mark.parametrize(
    "query",
    ["version=-1", "version=5x", "version=1e400", "version=9007199254740992", "wait=-1", "wait=nan",
     "wait=99999", "recursive=maybe", "limit=0", "limit=1001", "depth=1", "cursor=AAAA"],
)  # fmt: skip
async def test_l24_odd_queries_of_files_are_bad_requests(api, query):
    hosted = await api.host("archival-nested")
    answer = await api.ask(f"{hosted.path}/files/?{query}")
    assert (answer.status, answer.kind) == (400, "bad_request")


async def test_a_cursor_of_a_listing_is_checked(api):
    from datd.http.paging import encode_cursor

    hosted = await api.host("archival-nested")
    hostile = ["x", "1,2,x", "9" * 5000, "a", "999999", ",".join("1" * 2000), "-1", "", ",", "1,,2"]
    for version, after in [(20, text) for text in hostile] + [(10**18, "a"), (-1, "1")]:
        for recursive in ("true", "false"):
            cursor = encode_cursor(version, int(recursive == "true"), after)
            answer = await api.ask(f"{hosted.path}/files/?recursive={recursive}&cursor={cursor}")
            assert answer.status in (200, 400, 404), answer


async def test_what_is_not_there_is_no_such_file(api):
    hosted = await api.host("archival-nested")
    for path in ("nothing", "a.txt/", "a.txt/below", "a/nothing/", "A.TXT"):
        answer = await api.ask(f"{hosted.path}/files/{path}")
        assert (answer.status, answer.kind) == (404, "no_such_file"), path
    recursive = await api.ask(f"{hosted.path}/files/a.txt?recursive=true")
    assert recursive.kind == "bad_request"


@pytest.mark.parametrize("name", NAMES_TO_TRY)
async def test_t45_hostile_paths_are_400_or_404(api, name):
    hosted = await api.host("archival-nested")
    for slash in ("", "/"):
        answer = await api.ask(f"{hosted.path}/files/{name}{slash}")
        assert answer.status in (400, 404), answer
        assert answer.kind in ("bad_request", "no_such_file")


async def test_t47_hostile_names_are_listed_in_json_only(api):
    hosted = await api.host("archival-hostile-names")
    answer = await api.ask(f"{hosted.path}/files/?recursive=true")
    assert answer.status == 200
    assert not re.search(rb"[\x00-\x1f]", answer.body)
    for entry in answer.json["entries"]:
        served = await api.ask(f"{hosted.path}/files{quoted(entry['path'])}")
        assert served.status in (200, 400, 404)
        assert "set-cookie" not in served.headers


async def test_t46_content_is_sent_so_that_no_browser_runs_it(api):
    hosted = await api.host("archival-nested")
    headers = (await api.ask(f"{hosted.path}/files/a.txt")).headers
    assert "sandbox" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["accept-ranges"] == "bytes"


async def test_an_empty_file_is_served(api):
    hosted = await api.host("archival-nested")
    answer = await api.ask(f"{hosted.path}/files/zero")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == "0"
    ranged = await api.ask(f"{hosted.path}/files/zero", "Range: bytes=0-")
    assert ranged.status == 416
    assert ranged.headers["content-range"] == "bytes */0"


async def test_head_tells_what_get_would(api):
    hosted = await api.host("archival-nested")
    for path in ("a.txt", "", "zero", "nothing"):
        get = await api.ask(f"{hosted.path}/files/{path}")
        head = await api.ask(f"{hosted.path}/files/{path}", method="HEAD")
        assert head.status == get.status
        assert head.body == b""
        names = ("content-length", "content-type", "etag")
        assert [head.headers.get(n) for n in names] == [get.headers.get(n) for n in names]


async def big(api):
    """The largest file of the vectors: its address and its bytes."""
    hosted = await api.host("archival-big")
    listing = (await api.ask(f"{hosted.path}/files/?recursive=true")).json["entries"]
    entry = max(listing, key=lambda entry: entry["size"])
    address = f"{hosted.path}/files{quoted(entry['path'])}"
    return address, (await api.ask(address)).body


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=65535-65536", 65535, 65537),
        ("bytes=100000-", 100000, None),
        ("bytes=-70000", -70000, None),
        ("bytes=1000000-1999999", 1000000, 2000000),
    ],
)
async def test_one_range_is_that_part(api, header, start, stop):
    address, whole = await big(api)
    answer = await api.ask(address, f"Range: {header}")
    assert answer.status == 206
    assert answer.body == whole[start:stop]
    first = start if start >= 0 else len(whole) + start
    assert answer.headers["content-range"] == (
        f"bytes {first}-{first + len(answer.body) - 1}/{len(whole)}"
    )


async def test_several_ranges_are_parts_of_one_answer(api):
    address, whole = await big(api)
    answer = await api.ask(address, "Range: bytes=5-9,100000-170000,-3")
    assert answer.status == 206
    kind = answer.headers["content-type"]
    boundary = kind.removeprefix("multipart/byteranges; boundary=")
    assert kind != boundary
    pieces = answer.body.split(f"--{boundary}".encode())
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    bodies = [piece.split(b"\r\n\r\n", 1)[1][:-2] for piece in pieces[1:-1]]
    assert bodies == [whole[5:10], whole[100000:170001], whole[-3:]]
    assert f"bytes 5-9/{len(whole)}".encode() in pieces[1]


async def test_a_range_behind_the_end_is_416(api):
    address, whole = await big(api)
    answer = await api.ask(address, f"Range: bytes={len(whole)}-")
    assert (answer.status, answer.kind) == (416, "bad_range")
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


async def test_who_has_the_bytes_already_is_told_so(api):
    hosted = await api.host("archival-nested")
    address = f"{hosted.path}/files/a.txt"
    etag = (await api.ask(address)).headers["etag"]
    assert re.fullmatch(r'"[!#-~]+"', etag)
    for known in (etag, f'"x", {etag}', "*", f"W/{etag}"):
        answer = await api.ask(address, f"If-None-Match: {known}")
        assert (answer.status, answer.body) == (304, b""), known
        assert answer.headers["etag"] == etag
    assert (await api.ask(address, 'If-None-Match: "x"')).status == 200
    assert (await api.ask(address, f"If-Match: {etag}")).status == 200
    changed = await api.ask(address, 'If-Match: "x"')
    assert (changed.status, changed.kind) == (412, "precondition")
    weak = await api.ask(address, f"If-Match: W/{etag}")
    assert weak.status == 412


async def test_a_range_holds_for_the_file_that_if_range_names(api):
    hosted = await api.host("archival-nested")
    address = f"{hosted.path}/files/a.txt"
    etag = (await api.ask(address)).headers["etag"]
    assert (await api.ask(address, "Range: bytes=0-0", f"If-Range: {etag}")).status == 206
    for other in ('"x"', f"W/{etag}", "Sat, 01 Jan 2022 00:00:00 GMT"):
        assert (await api.ask(address, "Range: bytes=0-0", f"If-Range: {other}")).status == 200


async def test_one_etag_means_the_same_bytes(api):
    hosted = await api.host("archival-history")
    etags: dict[str, set[str]] = {}
    for version, name, digest in puts_of(hosted):
        answer = await api.ask(f"{hosted.path}/files{quoted(name)}?version={version}")
        etags.setdefault(answer.headers["etag"], set()).add(digest)
    assert len(etags) > 5
    assert all(len(digests) == 1 for digests in etags.values())


async def test_times_are_those_the_author_signed(api):
    hosted = await api.host("archival-nested")
    entries = (await api.ask(f"{hosted.path}/files/")).json["entries"]
    found = next(entry for entry in entries if entry["path"] == "/a.txt")
    assert datetime.fromisoformat(found["mtime"]).year == 2018


async def test_a_file_that_nobody_has_is_504_after_the_wait(api):
    added = await api.post("/api/v1/archives", {"link": "ab" * 32})
    for path in ("a.txt", ""):
        answer = await api.ask(f"/api/v1/archives/{added.json['key']}/files/{path}?wait=0.05")
        assert (answer.status, answer.kind) == (504, "no_peers")


async def test_a_slow_reader_slows_only_its_own(api):
    address, whole = await big(api)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1024)
    writer.write(
        f"GET {address} HTTP/1.1\r\nHost: localhost\r\n"
        "Authorization: Bearer token-of-the-test\r\n\r\n".encode()
    )
    first = await reader.read(1000)
    assert first.startswith(b"HTTP/1.1 200")
    for _ in range(3):
        assert (await api.ask(address)).body == whole
    rest = bytearray(first)
    while len(rest) < len(whole):
        rest += await reader.read(2**16)
    assert bytes(rest).endswith(whole[-1000:])
    writer.close()


async def test_damage_found_while_sending_ends_the_body_early(api):
    """A block that rots on the disk never reaches a reader; the length shows that it is missing."""
    hosted = await api.host("archival-big")
    listing = (await api.ask(f"{hosted.path}/files/?recursive=true")).json["entries"]
    entry = max(listing, key=lambda entry: entry["size"])
    data = api.library.find(hosted.key.hex).folder / "content.data"
    with data.open("r+b") as file:
        file.seek(entry["size"])  # within its last block: another file of 1,000 bytes lies before
        file.write(b"rotten")
    address = f"{hosted.path}/files{quoted(entry['path'])}?wait=0.1"
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await api.ask(address)
    assert len(caught.value.partial) < entry["size"]
    assert (await api.ask("/api/v1/")).status == 200
