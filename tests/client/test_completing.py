import asyncio
import json

import pytest
from tests.helpers.api import TOKEN

from datctl import cli, completing
from datctl.completing import GRAMMAR as GRAMMAR_VARIABLE
from datctl.completing import Daemon, complete, main
from datctl.grammar import grammar_of

LINK = "dat://" + "a" * 64
GRAMMAR = grammar_of(cli.app, cli.app.meta)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A person who pressed Tab waits a second; a test waits for a machine that is busy."""
    monkeypatch.setattr(completing, "PATIENCE", 60.0)


def words(*line, **env):
    """Candidates for the last word, without what they are."""
    return [word for word, _ in found(*line, **env)[1]]


def found(*line, **env):
    env = {"DATD_API": "http://127.0.0.1:9"} | env
    return complete(GRAMMAR, list(line), Daemon(line, env))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["ver"], ["verify"]),
        (["jobs", "s"], ["show"]),
        (["keys", ""], ["export", "import"]),
        (["help", "jobs", "w"], ["wait"]),
        (["--api", "http://x", "verif"], ["verify"]),
        (["list", "--state", "se"], ["searching", "seeding"]),
        (["list", "--state=se"], ["--state=searching", "--state=seeding"]),
        (["mode", "x", "lat"], ["latest"]),
        (["networks", "x", "mdns", "d"], ["dns", "dht"]),
        (["completion", "z"], ["zsh"]),
        (["show", "x", ""], []),
        (["show", "--", "--js"], []),
        (["add", LINK, "--paus"], ["--paused"]),
        (["nonsense", "x"], []),
    ],
)
def test_the_grammar_alone_says_what_fits(line, expected):
    assert words(*line) == expected


@pytest.mark.parametrize(
    ("line", "how"),
    [
        (["share", ""], "folders"),
        (["get", "x", ""], "files"),
        (["keys", "import", ""], "files"),
        (["add", "--from", ""], "files"),
        (["adopt", "a", "b", ""], "folders"),
        (["list", ""], "words"),
    ],
)
def test_paths_of_this_host_are_for_the_shell(line, how):
    assert found(*line)[0] == how


async def test_names_come_first_and_keys_where_somebody_begins_one(api, dat):
    await dat.add(LINK, name="recipes")
    await dat.add("b" * 64)
    env = {"DATD_API": api.url, "DATD_TOKEN": TOKEN}
    assert await asyncio.to_thread(words, "show", "", **env) == ["recipes", "b" * 12]
    assert await asyncio.to_thread(words, "show", "rec", **env) == ["recipes"]
    assert await asyncio.to_thread(words, "show", "aaa", **env) == ["a" * 12]
    assert await asyncio.to_thread(words, "show", "b" * 20, **env) == ["b" * 64]
    assert await asyncio.to_thread(words, "show", "dat://bb", **env) == ["dat://" + "b" * 64]
    assert await asyncio.to_thread(words, "pause", "recipes", "bb", **env) == ["b" * 12]
    token = ("--api", api.url, "--token", TOKEN)
    assert await asyncio.to_thread(words, *token, "show", "rec", DATD_API="") == ["recipes"]


async def test_files_are_completed_folder_by_folder_also_of_old_versions(api, dat):
    await dat.create(name="mine")
    await dat.put("mine", "/soups/leek.md", b"x")
    version = (await dat.archive("mine")).version
    await dat.put("mine", "/soups/late.md", b"x")
    key = (await dat.archive("mine")).key
    env = {"DATD_API": api.url, "DATD_TOKEN": TOKEN}
    assert await asyncio.to_thread(words, "ls", "mi", **env) == ["mine/"]
    assert await asyncio.to_thread(words, "ls", "mine/s", **env) == ["mine/soups/"]
    soups = await asyncio.to_thread(words, "cat", "mine/soups/l", **env)
    assert soups == ["mine/soups/late.md", "mine/soups/leek.md"]
    old = f"dat://{key}+{version}/soups/l"
    assert await asyncio.to_thread(words, "cat", old, **env) == [
        f"dat://{key}+{version}/soups/leek.md"
    ]
    assert await asyncio.to_thread(words, "cat", "nothing/x", **env) == []


async def test_t47_names_and_titles_cannot_steer_the_terminal(api, dat, monkeypatch, capfdbinary):
    await dat.create(title="a\x1b[2J\tb\nc", name="evil")
    await dat.put("evil", "/x\x1b[2J", b"x")
    await dat.put("evil", "/y", b"x")
    monkeypatch.setenv("DATD_API", api.url)
    monkeypatch.setenv("DATD_TOKEN", TOKEN)
    monkeypatch.setenv(GRAMMAR_VARIABLE, json.dumps(GRAMMAR))
    for line in (["show", "ev"], ["cat", "evil/"]):
        assert await asyncio.to_thread(main, line) == 0
    lines = capfdbinary.readouterr().out.split(b"\n")
    assert [line.split(b"\t")[0] for line in lines] == [
        b"words", b"evil", b"words", b"evil/dat.json", b"evil/y", b"",
    ]  # fmt: skip
    assert not any(b"\x1b" in line for line in lines)


async def test_a_wrong_token_completes_no_names(api, dat):
    await dat.add(LINK, name="recipes")
    assert await asyncio.to_thread(words, "show", "", DATD_API=api.url, DATD_TOKEN="x") == []
