import asyncio
import hashlib
import os
import sys

import pytest
from tests.helpers.api import TOKEN

from datctl.commands.files import parse_range
from datctl.errors import UsageError

LINK = "dat://" + "a" * 64


async def test_a_reader_that_has_enough_is_no_error(api):
    await api.host("archival-big", name="b")
    command = f"{sys.executable} -m datctl cat b/big.log | head -c 1"
    env = os.environ | {"DATD_API": api.url, "DATD_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_shell(
        command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert len(out) == 1
    assert err == b""


async def test_ls_lists_a_folder(shell, api):
    hosted = await api.host("archival-nested", name="n")
    names = (await shell.text("ls", "n")).splitlines()
    assert {"a.txt", "a/", "zero"} <= set(names)
    assert (await shell.text("ls", "n/a/b/c")).splitlines() == ["d/", "x.bin"]
    below = (await shell.text("ls", "-R", f"{hosted.key.link}/a")).splitlines()
    assert "b/c/x.bin" in below
    assert (await shell.text("ls", "n/a.txt")).splitlines() == ["a.txt"]
    long = (await shell.text("ls", "-l", "n/a.txt")).split()
    assert long[0] == "-rw-r--r--"
    assert long[1] == "11"
    entries = await shell.json("ls", "n/a", "-R")
    assert {"/a/b/c/x.bin"} <= {entry["path"] for entry in entries}
    await shell.text("ls", "n/nothing", status=4)
    await shell.text("ls", "n", "--version", "9999", status=4)


async def test_ls_of_an_older_version(shell, api):
    hosted = await api.host("archival-history", name="h")
    for version, listed in hosted.expected["listings"].items():
        if listed is None or version == "0":
            continue
        found = await shell.json("ls", "h", "-R", "--version", version)
        files = {entry["path"] for entry in found if entry["kind"] == "file"}
        assert files <= {name for name, _ in listed}
        break


@pytest.mark.parametrize("verb", [("ls", "-R"), ("ls", "-R", "-l")])
async def test_t47_hostile_names_reach_no_terminal(shell, api, verb):
    await api.host("archival-hostile-names", name="h")
    out = await shell.run(*verb, "h")
    assert all(byte >= 0x20 or byte == 0x0A for byte in out)


async def test_cat_gives_the_bytes(shell, api):
    hosted = await api.host("archival-big", name="b")
    digest = next(row[4] for row in hosted.expected["history"] if row[2] == "/big.log")
    whole = await shell.run("cat", "b/big.log")
    assert hashlib.sha256(whole).hexdigest() == digest
    assert await shell.run("cat", "b/big.log", "--range", "10-99999") == whole[10:100_000]
    assert await shell.run("cat", "b/big.log", "--range", "-7") == whole[-7:]
    assert await shell.run("cat", "b/big.log", "--range", "3000000-") == whole[3_000_000:]
    await shell.text("cat", "b/big.log", "--range", "9999999-", status=1)
    await shell.text("cat", "b/nothing", status=4)
    await shell.text("cat", "b/", status=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, (0, None)), ("0-0", (0, 1)), ("5-9", (5, 10)), ("5-", (5, None)), ("-5", (-5, None))],
)
def test_ranges_count_as_http_does(text, expected):
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "-", "5", "9-5", "a-b", "-0", "1-2,3-4", "1" * 99 + "-"])
def test_what_is_no_range_is_wrong_usage(text):
    with pytest.raises(UsageError):
        parse_range(text)
