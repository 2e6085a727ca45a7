import asyncio
import contextlib

from tests.helpers.api import TOKEN
from tests.helpers.daemon import eventually

from datd.hosting.sleep_files import NAMES
from datd.http import listener, sleep_files


async def sleep(api, hosted, name, *headers, method="GET"):
    return await api.ask(f"{hosted.path}/sleep/{name}", *headers, method=method)


async def test_files_are_those_of_the_reference(api):
    hosted = await api.host("archival-nested")
    discovery = str(hosted.key.discovery_key)
    folder = api.folder / "archives" / discovery[:2] / discovery[2:]
    for name in NAMES:
        answer = await sleep(api, hosted, name)
        assert answer.status == 200
        if not name.endswith("bitfield"):
            assert answer.body == (folder / name).read_bytes()


async def test_ranges_conditions_and_head(api):
    hosted = await api.host("archival-nested")
    whole = await sleep(api, hosted, "metadata.tree")
    tag = whole.headers["etag"]
    part = await sleep(api, hosted, "metadata.tree", "Range: bytes=32-71")
    assert (part.status, part.body) == (206, whole.body[32:72])
    assert part.headers["content-range"] == f"bytes 32-71/{len(whole.body)}"
    assert (await sleep(api, hosted, "metadata.tree", f"If-None-Match: {tag}")).status == 304
    head = await sleep(api, hosted, "metadata.tree", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))
    beyond = await sleep(api, hosted, "metadata.tree", "Range: bytes=9999999-")
    assert (beyond.status, beyond.kind) == (416, "bad_range")
    old = await sleep(api, hosted, "metadata.tree", "Range: bytes=0-3", 'If-Range: "old"')
    assert (old.status, old.body) == (200, whole.body)


async def test_T_50_secret_keys_are_never_given_out(api):
    hosted = await api.host("archival-nested")
    for name in ("metadata.secret_key", "content.secret_key", "metadata.ogd", "x", "..", "%2e%2e"):
        assert (await sleep(api, hosted, name)).status == 404


async def test_only_the_newest_files_are_claimed_where_asked(api):
    hosted = await api.host("archival-history")
    whole = await sleep(api, hosted, "content.bitfield")
    newest = await sleep(api, hosted, "content.bitfield?newest=true")
    assert len(whole.body) == len(newest.body)
    ones = [sum(byte.bit_count() for byte in one.body[32:1056]) for one in (newest, whole)]
    assert 0 < ones[0] < ones[1]
    assert (await sleep(api, hosted, "metadata.tree?newest=true")).status == 400


async def test_l22_who_takes_nothing_keeps_no_connection(api, monkeypatch, caplog):
    monkeypatch.setattr(sleep_files, "STALLED_SECONDS", 0.2)
    made = (await api.post("/api/v1/archives", {"new": {}})).json
    large = bytes(24 * 2**20)  # more than all buffers on the way hold
    path = f"/api/v1/archives/{made['key']}"
    assert (await api.ask(f"{path}/files/large", method="PUT", body=large)).status == 201
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    with contextlib.closing(writer):
        request = f"GET {path}/sleep/content.data HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{request}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert b" 200 " in await reader.readline()
        monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)

        async def answered():
            return (await api.ask(path)).status == 200

        await eventually(answered, what="a free connection")
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
