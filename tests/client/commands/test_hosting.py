import asyncio
import os
import signal
import sys

import pytest
from tests.helpers.api import TOKEN

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


async def test_an_unknown_archive_is_status_4(shell):
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


async def test_waiting_ends_when_all_is_here(shell, api):
    hosted = await api.host("archival-nested")
    await shell.run("ls", hosted.key.hex)
    told = await shell.text("add", hosted.key.link, "--wait", "30")
    assert "complete: " in told
    assert f"version {hosted.expected['version']}" in told
    found = await shell.json("add", hosted.key.link, "--wait")
    assert (found["state"], found["progress"]) == ("seeding", 1)


async def test_waiting_in_vain_is_status_5(shell):
    await shell.text("add", LINK, "--wait", "0.1", status=5)
    assert "0 of 0 peers" in shell.err
    assert "the daemon goes on" in shell.err


async def test_ctrl_c_is_status_130_without_a_word(api):
    line = ["add", LINK, "--wait"]
    env = os.environ | {"DATD_API": api.url, "DATD_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "datctl", *line, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    progress = await process.stderr.readline()
    assert b"searching" in progress
    process.send_signal(signal.SIGINT)
    _, rest = await process.communicate()
    assert (process.returncode, rest) == (130, b"")


async def test_waiting_for_what_cannot_come_fails_at_once(shell, api, monkeypatch):
    monkeypatch.setattr("datctl.commands.hosting.POLL_SECONDS", 0.01)
    await shell.run("add", LINK)
    api.library.find("a" * 64).error = "tree is damaged"
    await shell.text("add", LINK, "--wait", status=1)
    assert "tree is damaged" in shell.err
