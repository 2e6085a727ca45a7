import os
import sys

import pytest

LINK = "dat://" + "a" * 64


async def test_a_round_of_an_archives_life(shell):
    assert await shell.text("add", LINK, "--name", "recipes", "--tag", "x", "--tag", "y") == (
        f"added {LINK}\n"
    )
    assert (await shell.text("add", LINK)).startswith("hosted already")
    assert (await shell.json("list"))[0]["tags"] == ["x", "y"]
    listed = await shell.text("list")
    assert listed.splitlines()[0].split() == [
        "KEY", "NAME", "STATE", "DONE", "SIZE", "PEERS", "DOWN", "UP"
    ]  # fmt: skip
    assert "recipes" in listed
    assert LINK in await shell.text("show", "recipes")
    assert "paused recipes" in await shell.text("pause", "recipes")
    assert (await shell.json("show", "aaaaaa"))["state"] == "paused"
    assert await shell.json("list", "--state", "syncing") == []
    assert "resumed" in await shell.text("resume", "--all")
    await shell.text("peers", "add", "recipes", "192.0.2.9:3282")
    assert (await shell.json("peers", "recipes"))[0]["address"] == "192.0.2.9:3282"
    assert "192.0.2.9:3282" in await shell.text("peers")
    assert (await shell.json("stats", "recipes"))["key"] == "a" * 64
    assert "searching" in await shell.text("stats", "recipes")
    assert (await shell.json("stats"))["archives"] == {"searching": 1}
    assert "removed" in await shell.text("remove", "recipes", "--yes")
    assert await shell.text("list") == ""
    assert "datctl add LINK" in shell.err


async def test_an_unknown_archive_is_status_4(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in (["show", "nobody"], ["pause", "nobody"], ["remove", "nobody", "--yes"],
                 ["ls", "nobody"], ["cat", "nobody/a"], ["get", "nobody", "x"], ["peers", "nobody"],
                 ["stats", "nobody"], ["peers", "add", "nobody", "192.0.2.1:1"]):  # fmt: skip
        assert await shell.text(*line, status=4) == ""
    assert "x" not in os.listdir()


async def test_no_archive_is_touched_if_one_is_unknown(shell):
    await shell.run("add", LINK)
    await shell.text("remove", "aaaaaa", "nobody", "--yes", status=4)
    assert len(await shell.json("list")) == 1


async def test_remove_does_nothing_unasked(shell):
    await shell.run("add", LINK)
    await shell.text("remove", "aaaaaa", status=2)
    assert "--yes" in shell.err
    assert len(await shell.json("list")) == 1


class Terminal:
    """Standard input or error of a person."""

    def __init__(self, stream, answer=""):
        self._stream = stream
        self._answer = answer

    def isatty(self):
        return True

    def readline(self):
        return self._answer

    def __getattr__(self, name):
        return getattr(self._stream, name)


@pytest.mark.parametrize(("answer", "status", "left"), [("n\n", 1, 1), ("", 1, 1), ("y\n", 0, 0)])
async def test_remove_asks_a_person(shell, monkeypatch, answer, status, left):
    await shell.run("add", LINK, "--name", "\u202erecipes")
    monkeypatch.setattr(sys, "stdin", Terminal(sys.stdin, answer))
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    await shell.text("remove", "--all", status=status)
    assert "\\u202erecipes" in shell.err
    monkeypatch.undo()
    assert len(await shell.json("list")) == left


async def test_what_is_ours_is_removed_only_by_force(shell):
    await shell.run("create", "--name", "mine")
    await shell.text("remove", "mine", "--yes", status=1)
    assert "--force" in shell.err
    await shell.text("remove", "mine", "--delete-key", "--yes", status=2)
    key = (await shell.json("show", "mine"))["key"]
    assert "removed mine" in await shell.text("remove", "mine", "--force", "--yes")
    await shell.run("add", key)
    assert (await shell.json("show", key))["writable"] is True, "the key stayed"
    await shell.text("remove", key, "--force", "--delete-key", "--yes")
    await shell.run("add", key)
    assert (await shell.json("show", key))["writable"] is False


async def test_show_tells_what_there_is_to_tell_of_an_archive_of_ours(shell, site):
    await shell.run("share", str(site), "--name", "s", "--wait", "--chunking", "content")
    await shell.run("tag", "s", "v1", "1")
    told = await shell.text("show", "s")
    assert f"published from  {site}\n" in told
    assert "by content" in told
    assert "v1=1" in told
    assert "every version" in told
