from datd.hosting.sleep_files import NAMES


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
