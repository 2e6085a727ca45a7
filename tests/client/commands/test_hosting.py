import asyncio
import os
import signal
import sys
import time

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.shell import Shell
from tests.helpers.small_web import SmallWeb

from datd.keys import Key, KnownName
from datd.naming.resolver import Names

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


async def test_waiting_for_what_cannot_come_fails_at_once(shell, api):
    await shell.run("add", LINK)
    api.library.find("a" * 64).error = "tree is damaged"
    await shell.text("add", LINK, "--wait", status=1)
    assert "tree is damaged" in shell.err


async def test_networks_are_chosen_shown_and_changed(shell):
    await shell.run("add", LINK, "--network", "dns", "--network", "mdns")
    assert "mdns, dns\n" in await shell.text("networks", "aaaaaa")
    assert "mdns, dns\n" in await shell.text("show", "aaaaaa")
    assert "dht" in await shell.text("networks", "aaaaaa", "dht")
    assert (await shell.json("networks", "aaaaaa"))["networks"] == ["dht"]
    assert "none" in await shell.text("networks", "aaaaaa", "none")
    assert (await shell.json("show", "aaaaaa"))["networks"] == []
    assert (await shell.json("networks", "aaaaaa", "all"))["networks"] == ["mdns", "dns", "dht"]
    await shell.text("networks", "aaaaaa", "none", "dns", status=2)
    await shell.text("networks", "aaaaaa", "pigeon", status=1)
    assert "mdns, dns, dht" in shell.err
    await shell.text("networks", "nobody", "dns", status=4)
    await shell.run("add", "dat://" + "b" * 64, "--network", "none")
    assert (await shell.json("show", "bbbbbb"))["networks"] == []


async def test_help_tells_who_learns_what(shell):
    # Help is cut to the width of the terminal, so only its words are looked at.
    for verb in ("add", "networks"):
        told = " ".join((await shell.text(verb, "--help")).replace("│", " ").split())
        assert "whole world" in told
        assert "local network" in told


async def test_a_domain_is_given_shown_and_taken_away(shell):
    await shell.run("add", LINK, "--domain", "x.example")
    assert "x.example\n" in await shell.text("domain", "aaaaaa")
    assert "x.example" in await shell.text("show", "x.example")
    await shell.text("domain", "aaaaaa", "y.example", "--none", status=2)
    assert (await shell.json("domain", "aaaaaa", "y.example"))["domain"] == "y.example"
    assert "no domain" in await shell.text("domain", "aaaaaa", "--none")
    await shell.text("domain", "aaaaaa", "10.0.0.1", status=1)


async def test_a_name_that_nobody_can_look_up_just_now_is_said_to_be_an_old_one(
    tmp_path, capfdbinary
):
    async def save(known, dropped):
        raise AssertionError("nobody answered")

    nobody = SmallWeb()
    nobody.addresses["maps.example"] = []
    known = [KnownName("maps.example", Key.parse("a" * 64), time.time() - 1)]
    names = Names(
        known=known, save=save, wall_clock=time.time, choose=lambda below: 0, lookup=nobody
    )
    async with running_api(tmp_path, names=names) as api:
        shell = Shell(api, capfdbinary)
        assert await shell.text("add", "maps.example") == f"added {LINK}\n"
        assert "what it meant earlier" in shell.err
        await shell.text("add", LINK)
        assert shell.err == ""
    await names.close()
