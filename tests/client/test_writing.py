import pytest

from datctl.errors import ApiError, Conflict, NotFound

LINK = "dat://" + "a" * 64


async def pieces(*given):
    for piece in given:
        yield piece


async def test_files_are_written_whole_or_as_they_come(dat):
    made = await dat.create(title="Mine", description="of a test", name="mine", tags=["x"])
    assert (made.writable, made.tags) == (True, ["x"])
    assert b'"title": "Mine"' in await dat.read("mine", "/dat.json")
    assert (await dat.put("mine", "/a b/ö", b"one")).version == 2
    big = await dat.put("mine", "/big", pieces(b"1" * 3_000_000, b"", b"2" * 3_000_000))
    assert big.size == 6_000_000
    assert await dat.read("mine", "/big", start=2_999_999, stop=3_000_001) == b"12"
    assert (await dat.put("mine", "/empty", b"")).size == 0
    assert (await dat.mkdir("mine", "/folder")).kind == "directory"
    assert sorted([e.path async for e in dat.walk("mine")]) == [
        "/a b/ö", "/big", "/dat.json", "/empty", "/folder"
    ]  # fmt: skip


async def test_a_file_is_replaced_only_if_it_is_the_one_meant(dat):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one", new=True)
    with pytest.raises(ApiError) as there:
        await dat.put("mine", "/a", b"two", new=True)
    assert there.value.kind == "precondition"
    head = await dat.head("mine", "/a")
    await dat.put("mine", "/a", b"two", etag=head.etag)
    with pytest.raises(ApiError):
        await dat.put("mine", "/a", b"three", etag=head.etag)
    assert await dat.read("mine", "/a") == b"two"


async def test_files_and_folders_are_removed(dat):
    await dat.create(name="mine")
    await dat.put("mine", "/a/b/c", b"x")
    with pytest.raises(Conflict):
        await dat.delete("mine", "/a")
    with pytest.raises(Conflict):
        await dat.mkdir("mine", "/a")
    await dat.delete("mine", "/a", recursive=True)
    with pytest.raises(NotFound):
        await dat.delete("mine", "/a/b/c")
    assert await dat.read("mine", "/a/b/c", version=1) == b"x"


async def test_what_is_not_ours_cannot_be_written(api, dat):
    hosted = await api.host("archival-nested")
    for call in (
        dat.put(hosted.key.hex, "/a", b"x" * 2_000_000),
        dat.mkdir(hosted.key.hex, "/x"),
        dat.delete(hosted.key.hex, "/a.txt"),
    ):
        with pytest.raises(ApiError) as refused:
            await call
        assert refused.value.kind == "forbidden"
    with pytest.raises(ApiError) as missing:
        await dat.secret_key(hosted.key.hex)
    assert missing.value.kind == "no_secret_key"


async def test_a_fork_is_ours(api, dat):
    hosted = await api.host("archival-nested")
    await dat.list(hosted.key.hex)
    made = await dat.fork(hosted.key.hex, name="copy", title="Mine")
    assert (await dat.finished(made.job)).state == "done"
    assert await dat.read("copy", "/a.txt") == await dat.read(hosted.key.hex, "/a.txt")
    assert b'"title": "Mine"' in await dat.read("copy", "/dat.json")
    await dat.put("copy", "/a.txt", b"mine")


async def test_a_folder_is_published_and_files_fill_an_archive(dat, site):
    made = await dat.publish(str(site), name="s", chunking="content")
    await dat.finished(made.job)
    found = await dat.archive("s")
    assert (found.source, found.chunking, found.files) == (str(site), "content", 2)
    assert (await dat.finished((await dat.adopt("s", str(site))).id)).state == "done"
    for folder in ("relative", "/nowhere", "/etc"):
        with pytest.raises(ApiError):
            await dat.publish(folder)


async def test_a_secret_key_makes_an_archive_ours(dat):
    made = await dat.create()
    secret = (await dat.secret_key(made.key)).secret_key
    await dat.remove(made.key, force=True, delete_key=True)
    await dat.add(made.key)
    assert (await dat.archive(made.key)).writable is False
    with pytest.raises(ApiError):
        await dat.give_secret_key(made.key, "0" * 128)
    assert (await dat.give_secret_key(made.key, secret)).writable is True
