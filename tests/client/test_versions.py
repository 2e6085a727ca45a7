import pytest

from datctl.errors import NotFound


@pytest.fixture
async def mine(dat):
    await dat.create(name="mine")
    for number in range(1, 6):
        await dat.put("mine", f"/{number % 2}/file", b"x" * number)
    await dat.delete("mine", "/0", recursive=True)
    return "mine"


async def test_history_comes_in_pages(dat, mine):
    whole = [change async for change in dat.changes(mine)]
    assert [(c.version, c.type, c.path) for c in whole] == [
        (1, "put", "/1/file"), (2, "put", "/0/file"), (3, "put", "/1/file"),
        (4, "put", "/0/file"), (5, "put", "/1/file"), (6, "delete", "/0/file"),
    ]  # fmt: skip
    page = await dat.history(mine, limit=4)
    assert page.changes == whole[:4]
    assert (await dat.history(mine, since=page.next_since)).changes == whole[4:]
    assert [c.version async for c in dat.changes(mine, "/0/file")] == [2, 4, 6]
    assert [c.version async for c in dat.changes(mine, since=2, until=4)] == [3, 4]


async def test_differences_come_in_pages_of_the_same_versions(dat, mine):
    await dat.change(mine, version_tags={"start": 1, "end": 4})
    found = [(d.type, d.path) async for d in dat.differences(mine, "start", "end")]
    assert sorted(found) == [("added", "/0/file"), ("changed", "/1/file")]
    first = await dat.diff(mine, 1, limit=1)
    assert (first.old_version, first.new_version) == (1, 6)
    assert [d.path async for d in dat.differences(mine, 4, path="/0")] == ["/0/file"]
    with pytest.raises(NotFound):
        await dat.diff(mine, "nothing")
