import asyncio
import socket

import pytest
from tests.helpers.api import TOKEN
from tests.helpers.busy_disks import not_judged_by_speed
from tests.helpers.virtual_time import in_virtual_time

from datctl import cli
from datctl.commands.doctor import doctor, several
from datctl.commands.options import Daemon
from datctl.errors import DatdError

KEY = "a" * 64


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path_factory):
    """No daemon of the machine's user is looked at."""
    home = tmp_path_factory.mktemp("home")
    for name in ("DATD_API", "DATD_TOKEN", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    monkeypatch.setenv("DATD_DATA_DIR", str(home))
    return home


def states(findings):
    return {finding["check"]: finding["state"] for finding in findings}


async def test_a_daemon_that_is_well_gets_status_0(shell, monkeypatch):
    not_judged_by_speed(monkeypatch)
    told = await shell.text("doctor")
    assert told.splitlines()[0].startswith("ok    daemon")
    assert "let UDP" not in told
    assert "fail" not in told
    found = states(await shell.json("doctor"))
    assert (found["daemon"], found["token"], found["disk"]) == ("ok", "ok", "ok")


async def test_a_failure_is_status_1_with_what_to_do_below_it(shell, api):
    await shell.run("add", KEY, "--name", "recipes")
    api.library.find("recipes").error = "disk \x1b[2J on fire"
    lines = (await shell.text("doctor", status=1)).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("fail"))
    assert "recipes is in error: disk \\x1b[2J on fire" in lines[place]
    assert lines[place + 1].strip().startswith("-> ")
    assert "1 of " in shell.err


async def test_no_daemon_is_a_finding_with_what_to_do(capfd):
    line = ["--api", "http://127.0.0.1:9", "doctor"]
    assert await asyncio.to_thread(cli.main, line) == 1
    told = capfd.readouterr()
    assert told.out.startswith("fail  daemon  no daemon answers at http://127.0.0.1:9")
    assert "systemctl start datd" in told.out
    assert len(told.err.splitlines()) == 1


def test_a_daemon_that_says_nothing_is_a_finding_soon(tmp_path, capfd):
    path = tmp_path / "deaf.sock"

    async def story():
        begin = asyncio.get_running_loop().time()
        with pytest.raises(DatdError, match="1 of 1 check failed"):
            await doctor(daemon=Daemon(f"unix://{path}"))
        return asyncio.get_running_loop().time() - begin

    # A connection to a Unix socket is made at once, so that only the silence takes (virtual) time.
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        assert in_virtual_time(story()) < 20
    told = capfd.readouterr().out
    assert f"{path} takes connections, and says nothing for 15 s" in told
    assert "restart it" in told


async def test_a_wrong_token_and_a_missing_one_are_findings(api, capfd):
    for options in (["--token", "wrong"], []):
        line = ["--api", api.url, *options, "doctor"]
        assert await asyncio.to_thread(cli.main, line) == 1
        told = capfd.readouterr().out
        assert "fail  token" in told
        assert "$DATD_TOKEN" in told


async def test_a_token_file_that_others_can_read_is_a_failure(shell, elsewhere):
    file = elsewhere / "api.token"
    file.write_text("secret")
    file.chmod(0o644)
    assert f"chmod 600 {file}" in await shell.text("doctor", status=1)
    file.chmod(0o600)
    assert "token file" not in await shell.text("doctor")


def test_several_daemons_of_one_host_are_told(tmp_path):
    paths = [str(tmp_path / "mine.sock"), str(tmp_path / "system.sock")]
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(paths[0])
        one.listen()
        assert several(paths) == []
        other.bind(paths[1])
        other.listen()
        (finding,) = several(paths)
    assert finding.state == "warn"
    assert finding.advice.endswith(f"--api unix://{paths[1]}")
    assert several(paths) == []  # the files of daemons that ended stay behind


async def test_something_else_that_answers_is_no_daemon(capfd):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        line = ["--api", f"http://127.0.0.1:{port}", "--token", TOKEN, "doctor"]
        assert await asyncio.to_thread(cli.main, line) == 1
    assert "fail  daemon" in capfd.readouterr().out


async def test_who_may_only_read_hears_that_the_rest_is_for_others(shell, started):
    made = await shell.json("token", "create", "--name", "reader", "--scope", "read")
    process = await started("doctor", DATD_TOKEN=made["token"])
    told, _ = await process.communicate()
    assert process.returncode == 0
    assert b"ok    token" in told
    assert b"warn  diagnosis" in told
