import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import termios

import pytest
from tests.helpers.daemon import running_daemon

from datctl.commands import watching
from datctl.errors import ApiError, NotFound

LINK = "dat://" + "a" * 64
VERBS = [("list",), ("peers",), ("stats",), ("status",), ("jobs",)]


async def line_of(process):
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode()


async def until(process, text):
    while text not in (line := await line_of(process)):
        assert line, f"ended without {text!r}"
    return line


async def test_without_a_terminal_a_line_tells_what_changed(started, dat):
    await dat.add(LINK, name="far")
    process = await started("list", "--watch")
    assert "far" in await line_of(process)
    await dat.pause("far")
    assert "paused" in await until(process, "far")
    await dat.remove("far")
    assert (await until(process, "gone")).startswith("a" * 12)


async def test_with_json_each_change_is_a_document_on_a_line(started, dat):
    process = await started("list", "--watch", "--json")
    assert json.loads(await line_of(process)) == []
    await dat.add(LINK)
    (archive,) = json.loads(await line_of(process))
    assert archive["link"] == LINK


@pytest.mark.parametrize("verb", VERBS)
async def test_every_watch_begins_with_what_there_is_and_ends_when_asked(started, dat, verb):
    await dat.add(LINK)
    process = await started(*verb, "--watch", "--json")
    assert json.loads(await line_of(process)) is not None
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


async def test_on_a_terminal_the_table_is_drawn_again(started, dat, api):
    await dat.add(LINK, name="far")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    program = await started("list", "--watch", TERM="xterm", stdout=theirs)
    loop = asyncio.get_running_loop()
    seen, more = bytearray(), asyncio.Event()

    def read():
        seen.extend(os.read(ours, 65536))
        more.set()

    async def shows(text):
        async with asyncio.timeout(60):
            while text not in seen:
                more.clear()
                await more.wait()

    loop.add_reader(ours, read)
    try:
        await shows(b"searching")
        await dat.pause("far")
        await shows(b"paused")
        assert b"\x1b[1A" in seen  # over what was there, not below it
        program.terminate()
        await program.communicate()
    finally:
        loop.remove_reader(ours)
        for end in (ours, theirs):
            os.close(end)


def shown_until(stream, text):
    """A line that has it; None if all ends without."""
    return next((line for line in stream if text in line), None)


def test_a_daemon_that_goes_away_is_waited_for(tmp_path):
    socket = tmp_path / "api"
    process = None
    try:
        with running_daemon(tmp_path / "data", "--api-socket", str(socket)) as daemon:
            daemon.datctl("create", "--name", "near")
            process = subprocess.Popen(
                [sys.executable, "-m", "datctl", "--api", f"unix://{socket}", "list", "--watch"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            assert "near" in process.stdout.readline()
        assert shown_until(process.stderr, "trying again")
        with running_daemon(tmp_path / "data", "--api-socket", str(socket)) as daemon:
            daemon.datctl("add", LINK, "--name", "far")
            # Of the other one it may tell, too, while that is looked over.
            assert shown_until(process.stdout, "far")
    finally:
        if process is not None:
            process.kill()
            process.communicate()


async def test_a_daemon_that_was_never_there_is_not_waited_for(started):
    process = await started("list", "--watch", DATD_API="http://127.0.0.1:9")
    _, err = await process.communicate()
    assert process.returncode == 3
    assert b"start datd" in err


async def test_a_daemon_that_is_busy_for_a_moment_is_asked_again(monkeypatch, capsys):
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0)
    busy = ApiError(503, "busy", "All connections are taken")
    before, after = (watching.View(number, fields=[("n", str(number))]) for number in (1, 2))
    answers = [before, busy, after, NotFound(404, "unknown_archive", "x")]

    async def look():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(NotFound):
        await watching.show(look, watch=True, json=False)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("n: 1\nn: 2\n", f"{busy}; trying again\n")
