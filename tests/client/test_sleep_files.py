import pytest

from datctl.errors import NotFound


async def whole(dat, key, name, **how):
    async with dat.sleep_file(key, name, **how) as found:
        return None if found is None else (b"".join([p async for p in found.pieces]), found)


async def test_a_file_comes_whole_in_part_or_not_at_all(api, dat):
    hosted = await api.host("archival-nested")
    data, found = await whole(dat, hosted.key.hex, "metadata.tree")
    assert data[:3] == b"\x05\x02\x57"
    part, rest = await whole(dat, hosted.key.hex, "metadata.tree", start=32)
    assert (part, rest.start) == (data[32:], 32)
    assert await whole(dat, hosted.key.hex, "metadata.tree", unless=found.etag) is None


async def test_there_are_no_secrets(api, dat):
    hosted = await api.host("archival-nested")
    with pytest.raises(NotFound):
        await whole(dat, hosted.key.hex, "metadata.secret_key")
