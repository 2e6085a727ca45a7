import asyncio
import os
import re
import signal
import subprocess
import sys

import pytest
from tests.helpers.api import TOKEN

from datctl import cli, errors

KEY = "ab" * 32
# Port 9 is discard's: nobody listens there on loopback.
NOBODY = "http://127.0.0.1:9"


def run(*arguments):
    return cli.main(["--api", NOBODY, *arguments])


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["add", "x", "--wait"], ["add", "x", "--wait=inf"]),
        (["add", "--wait", "x"], ["add", "--wait=inf", "x"]),
        (["add", "x", "--wait", "5"], ["add", "x", "--wait", "5"]),
        (["add", "x", "--wait", "--json"], ["add", "x", "--wait=inf", "--json"]),
        (["add", "x", "--wait=5"], ["add", "x", "--wait=5"]),
        (["ls", "x", "--wait", "5"], ["ls", "x", "--wait", "5"]),
        (["verify", "--wait", "x"], ["verify", "--wait=inf", "x"]),
        (["share", ".", "--wait", "60"], ["share", ".", "--wait", "60"]),
        (["adopt", "--", "--wait"], ["adopt", "--", "--wait"]),
    ],
)
def test_wait_may_stand_without_a_number(tokens, expected):
    assert cli.optional_seconds(tokens) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["add"],
        ["add", KEY, "--mode", "newest"],
        ["add", KEY, "--include", "/a"],
        ["add", KEY, "--from", "list.txt"],
        ["add", KEY, "--nme", "x"],
        ["add", KEY, "--paused", "--wait"],
        ["add", KEY, "--wait", "-1"],
        ["add", KEY, "--wait", "nan"],
        ["verify", KEY, "--wait", "-1"],
        ["share", ".", "--wait", "nan"],
        ["ls", KEY, "--wait", "-1"],
        ["jobs", "wait", "x", "soon"],
        ["help", "bogus"],
        ["help", "jobs", "bogus"],
        ["completion", "tcsh"],
        ["list", "--state", "lost"],
        ["show"],
        ["pause"],
        ["pause", "a", "--all"],
        ["resume"],
        ["remove"],
        ["cat", f"{KEY}/a", "--range", "x"],
        ["ls", KEY, "--version", "1x"],
        ["get", KEY],
        ["peers", "add", KEY],
        ["get", KEY, "x", "--follow", "--version", "1"],
        ["export", KEY],
        ["log", f"{KEY}/a", "b"],
        ["log", KEY, "--limit", "0"],
        ["diff", KEY],
        ["diff", KEY, "latest"],
        ["diff", f"{KEY}+1", "2"],
        ["tag", KEY, "-d"],
        ["mode", KEY, "whole"],
        ["set", KEY],
        ["share"],
        ["fork", f"{KEY}/a"],
        ["adopt"],
        ["adopt", "x", "--into", KEY, "--copy"],
        ["rescan"],
        ["verify"],
        ["put", KEY],
        ["put", f"{KEY}/", "-"],
        ["put", f"{KEY}+1/a", "-"],
        ["rm", KEY],
        ["mkdir", f"{KEY}/"],
        ["keys"],
        ["keys", "import", "no such file"],
        ["jobs", "show"],
    ],
)
def test_wrong_usage_is_status_2_with_one_line(arguments, capsys):
    assert run(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("datctl: ")
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["status", "--json"],
        ["add", KEY],
        ["show", "x"],
        ["stats"],
        ["peers"],
        ["peers", "add", "x", "192.0.2.1:1"],
        ["pause", "x"],
        ["remove", "--all"],
        ["ls", "x"],
        ["cat", "x/a"],
        ["get", "x", "somewhere"],
        ["get", "x", "somewhere", "--follow"],
        ["export", "x", "somewhere"],
        ["log", "x"],
        ["diff", "x", "1"],
        ["tag", "x"],
        ["mode", "x"],
        ["set", "x", "--name", "y"],
        ["share", "."],
        ["create"],
        ["fork", "x"],
        ["adopt", ".", "--into", "x"],
        ["rescan", "x"],
        ["verify", "x"],
        ["rm", "x/a"],
        ["mkdir", "x/a"],
        ["keys", "export", "x"],
        ["jobs"],
        ["jobs", "cancel", "x"],
        ["jobs", "wait", "x"],
        ["list", "--watch"],
    ],
)
def test_no_daemon_is_status_3_and_says_what_to_do(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"datctl: no daemon answers at {NOBODY} (Connection refused): start datd, or name another "
        "one with --api or $DATD_API\n"
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UsageError("x"), 2),
        (errors.NoDaemon("x"), 3),
        (errors.NotFound(404, "no_such_file", "x"), 4),
        (errors.NoPeers(504, "no_peers", "x"), 5),
        (errors.NoAnswer(504, "name_unreachable", "x"), 5),
        (errors.TimedOut("x"), 5),
        (errors.Unauthorized(401, "unauthorized", "x"), 1),
        (errors.Conflict(409, "exists", "x"), 1),
        (errors.Gone(410, "gone", "x"), 1),
        (errors.TransferError("x"), 1),
        (errors.DatdError("x"), 1),
    ],
)
def test_each_error_has_its_status(error, status):
    assert cli.exit_status(error) == status


@pytest.mark.parametrize(
    "verb",
    ["add", "list", "show", "set", "mode", "networks", "domain", "pause", "resume", "remove", "ls",
     "cat", "get", "export", "log", "diff", "tag", "share", "create", "fork", "adopt", "rescan",
     "put", "rm", "mkdir", "keys", "keys export", "keys import", "jobs", "jobs show", "jobs wait",
     "jobs cancel", "verify", "peers", "stats", "status", "completion", "doctor", "discover",
     "help"],
)  # fmt: skip
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    assert cli.main([*verb.split(), "--help"]) == 0
    told = capsys.readouterr().out
    assert "Examples" in told
    assert f"datctl {verb}" in told or "datctl --api" in told


def shown_verbs():
    return [name for name in cli.app if not name.startswith("-")]


def test_every_verb_stands_under_a_heading_with_one_line(capsys):
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "Commands" not in told, "a verb has no heading"
    for heading in ("Archives", "Files", "Publishing", "Versions", "Care", "Daemon"):
        assert f" {heading} " in told
    for verb in shown_verbs():
        assert cli.app[verb].help.split(), verb


@pytest.mark.parametrize("line", ["add", "jobs wait", "completion"])
def test_help_explains_a_verb_as_its_option_does(line, capsys):
    assert cli.main(["help", *line.split()]) == 0
    by_verb = capsys.readouterr().out
    assert cli.main([*line.split(), "--help"]) == 0
    assert capsys.readouterr().out == by_verb
    assert "Examples" in by_verb


def test_help_alone_lists_all_verbs(capsys):
    assert cli.main(["help"]) == 0
    told = capsys.readouterr().out
    assert all(f"│ {verb} " in told for verb in shown_verbs())


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (["lst"], 'Did you mean "list"?'),
        (["list", "--stat", "paused"], "Did you mean --state?"),
        (["jobs", "--sate", "done"], "Did you mean --state?"),
    ],
)
def test_a_slip_of_the_finger_is_told_what_was_meant(line, meant, capsys):
    assert cli.main(line) == 2
    assert meant in capsys.readouterr().err


def test_examples_in_help_are_command_lines_that_exist():
    for words, verb in every_verb(cli.app, ()):
        for line in re.findall(r"- `([^`]*)`", verb.help or ""):
            named = re.search(r"\bdatctl ((?:--?\w+ \S+ )*)([a-z]+)", line)
            assert named is not None, (words, line)
            assert named[2] in cli.app, (words, line)


def every_verb(app, words):
    for name in app:
        if not name.startswith("-"):
            yield (*words, name), app[name]
            yield from every_verb(app[name], (*words, name))


def test_help_loads_neither_http_nor_models():
    script = (
        "import sys; from datctl.cli import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('aiohttp', 'pydantic')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_it_is_being_loaded_is_no_fault(tmp_path):
    (tmp_path / "cyclopts.py").write_text("raise KeyboardInterrupt")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    line = [sys.executable, "-m", "datctl", "list"]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_closed_pipe_is_no_error_to_talk_about():
    done = subprocess.run(
        f"{sys.executable} -m datctl completion bash | head -c 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""


async def test_a_terminal_with_few_letters_shows_the_others_by_number(started, dat):
    await dat.create(name="mine")
    await dat.put("mine", "/soup-\u2603.txt", b"x")
    for line in (("ls", "mine"), ("log", "mine"), ("get", "mine", "x/../y\u2603/z", "--help")):
        process = await started(*line, PYTHONIOENCODING="ascii")
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b""), line
        assert b"soup-\\u2603.txt" in out or "--help" in line


@pytest.mark.parametrize("line", ["put mine/x - <&-", "list >&-", "list 2>&-", "add --from - <&-"])
async def test_streams_that_are_closed_are_no_fault(api, dat, line):
    await dat.create(name="mine")
    program = f"'{sys.executable}' -m datctl --api {api.url} --token {TOKEN} {line}"
    process = await asyncio.create_subprocess_shell(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, err = await process.communicate()
    assert (process.returncode, b"fault" in err) == (0, False), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_whoever_is_ended_leaves_nothing_half_written(started, dat, tmp_path, number):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"x")
    place = tmp_path / "copy"
    before = signal.signal(number, signal.SIG_DFL)  # these tests may run below nohup
    process = await started("get", "mine", str(place), "--follow")
    signal.signal(number, before)
    await process.stdout.readline()
    process.send_signal(number)
    async with asyncio.timeout(120):
        _, err = await process.communicate()
    assert process.returncode == 143
    assert b"Traceback" not in err
