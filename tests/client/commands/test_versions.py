import pytest


@pytest.fixture
async def mine(dat):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    await dat.put("mine", "/soups/leek", b"x" * 2000)
    await dat.put("mine", "/a", b"longer")
    await dat.delete("mine", "/soups/leek")
    return "mine"


async def test_log_lists_changes_oldest_first(shell, mine):
    lines = (await shell.text("log", "mine")).splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert lines[1].split()[3:] == ["put", "2.00", "kB", "/soups/leek"]
    assert lines[3].split()[-2:] == ["delete", "/soups/leek"]
    assert len((await shell.text("log", "mine", "/soups")).splitlines()) == 2
    assert len((await shell.text("log", "mine/a")).splitlines()) == 2
    assert len((await shell.text("log", "mine", "--since", "1", "--limit", "2")).splitlines()) == 2
    document = await shell.json("log", "mine", "--since", "1", "--until", "3")
    assert [change["version"] for change in document["changes"]] == [2, 3]
    assert document["version"] == 4
    await shell.text("log", "nobody", status=4)


async def test_a_long_log_is_whole_and_no_longer_than_asked_for(shell, dat):
    await dat.create(name="long")
    for number in range(30):
        await dat.put("long", f"/{number}", b"")
    assert len((await shell.json("log", "long"))["changes"]) == 30
    assert len((await shell.json("log", "long", "--limit", "7"))["changes"]) == 7


async def test_diff_tells_what_became_of_each_path(shell, mine):
    await shell.run("tag", "mine", "v2", "2")
    told = await shell.text("diff", "mine", "v2")
    assert sorted(line.split() for line in told.splitlines()) == [
        ["changed", "3", "B", "->", "6", "B", "/a"],
        ["removed", "2.00", "kB", "/soups/leek"],
    ]
    document = await shell.json("diff", "mine", "1", "2")
    assert (document["from"], document["to"]) == (1, 2)
    assert [(c["type"], c["path"]) for c in document["changes"]] == [("added", "/soups/leek")]
    assert await shell.text("diff", "mine", "2", "2") == ""
    assert "nothing differs" in shell.err
    assert "/a" not in await shell.text("diff", "mine/soups", "1", "2")
    await shell.text("diff", "mine", "v9", status=4)


async def test_versions_get_and_lose_names(shell, mine):
    assert "datctl tag ARCHIVE NAME" in (await shell.text("tag", "mine") + shell.err)
    assert await shell.text("tag", "mine", "v1", "1") == "v1 is version 1\n"
    assert await shell.text("tag", "mine", "now") == "now is version 4\n"
    assert await shell.text("tag", "mine", "same", "v1") == "same is version 1\n"
    assert await shell.text("tag", "mine", "before", "2001-01-01") == "before is version 0\n"
    assert [line.split() for line in (await shell.text("tag", "mine")).splitlines()[1:]] == [
        ["0", "before"], ["1", "same"], ["1", "v1"], ["4", "now"]
    ]  # fmt: skip
    assert await shell.text("cat", "mine+v1/a") == "one"
    assert await shell.text("ls", "mine", "--version", "v1") == "a\n"
    assert "v1" in await shell.text("tag", "mine", "v1", "-d")
    await shell.text("tag", "mine", "v1", "-d", status=1)
    await shell.text("tag", "mine", "v5", "5", status=1)
    assert set((await shell.json("tag", "mine"))["version_tags"]) == {"before", "same", "now"}


@pytest.mark.parametrize("verb", [("log",), ("diff", "1")])
async def test_t47_hostile_names_reach_no_terminal(shell, api, verb):
    await api.host("archival-hostile-names", name="h")
    await shell.run("ls", "h")
    out = await shell.run(verb[0], "h", *verb[1:])
    assert out
    assert all(byte >= 0x20 or byte == 0x0A for byte in out)
