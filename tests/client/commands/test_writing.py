import os
import sys

import pytest


@pytest.fixture
async def mine(dat):
    await dat.create(name="mine")
    return "mine"


async def test_files_are_put_by_path_into_folders_and_from_standard_input(
    shell, mine, site, monkeypatch
):
    told = await shell.text("put", "mine/soups/leek.md", str(site / "soups/leek.md"))
    assert told.split() == ["1", "6", "B", "/soups/leek.md"]
    await shell.run("put", "mine/soups/", str(site / "index.html"))
    with (site / "index.html").open() as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        [written] = await shell.json("put", "mine/from-stdin", "-")
    assert (written["size"], written["version"]) == (5, 3)
    assert (await shell.text("cat", "mine/from-stdin")) == "hello"
    assert sorted((await shell.text("ls", "-R", "mine")).split()) == [
        "from-stdin", "soups/index.html", "soups/leek.md"
    ]  # fmt: skip
    await shell.text("put", "mine/from-stdin", str(site / "index.html"), "--new", status=1)


async def test_a_folder_is_put_with_all_that_lies_in_it(shell, mine, site):
    (site / "link").symlink_to(site / "index.html")
    (site / "inner").symlink_to(site / "soups")
    os.close(os.open(os.fsencode(site) + b"/\xff", os.O_CREAT))
    await shell.text("put", "mine/copy", str(site), status=2)
    await shell.text("put", "-r", "mine/copy", str(site))
    assert {line.split(":")[0] for line in shell.err.splitlines()} >= {
        "left out link", "left out inner"
    }  # fmt: skip
    assert "not UTF-8" in shell.err
    assert sorted((await shell.text("ls", "-R", "mine")).split()) == [
        "copy/index.html", "copy/soups/leek.md"
    ]  # fmt: skip
    await shell.text("put", "-r", "mine/x", str(site / "index.html"), status=2)
    await shell.text("put", "mine/x", str(site / "nothing"), status=2)


async def test_files_and_folders_are_removed(shell, dat, mine):
    await dat.put(mine, "/a/b", b"x")
    await shell.text("rm", "mine/a", status=1)
    assert "removed /a/b" in await shell.text("rm", "mine/a/b")
    await shell.text("rm", "mine/a/b", status=4)
    await dat.put(mine, "/a/b", b"x")
    await shell.run("rm", "-r", "mine/a")
    assert await shell.text("ls", "mine") == ""
    await shell.text("rm", "-r", "mine/", status=2)
    assert "datctl remove" in shell.err


async def test_a_folder_that_is_made_stays_while_it_is_empty(shell, mine):
    assert (await shell.text("mkdir", "mine/sauces")).split() == ["1", "/sauces/"]
    assert await shell.text("ls", "mine") == "sauces/\n"
    await shell.text("mkdir", "mine/sauces", status=1)


async def test_what_is_not_ours_is_refused(shell, api, site):
    await api.host("archival-nested", name="n")
    for line in (["put", "n/x", str(site / "index.html")], ["rm", "n/a.txt"], ["mkdir", "n/x"]):
        await shell.text(*line, status=1)
        assert "somebody else's" in shell.err
