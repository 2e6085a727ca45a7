import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest

import datd
from datd import cli
from tests.helpers.daemon import run_datd


@pytest.fixture(autouse=True)
def usual_surroundings(monkeypatch, tmp_path):
    """No settings of the machine's user; logging as it was before."""
    for name in ("DATD_CONFIG", "DATD_DATA_DIR", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def status_of(*arguments):
    return cli.main([str(argument) for argument in arguments])


def sentence(capsys):
    """What was said to the user, who must get one line, and no traceback."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("datd: ")
    return line.removeprefix("datd: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[swarm]\nprot = 1\n", "line 2: there is no setting swarm.prot"),
        ("[api]\n\nport = 'x'\n", "line 3: api.port = 'x'"),
        ("event_loop\n", "line 1"),
    ],
)
def test_a_wrong_setting_ends_with_78_and_names_file_and_line(tmp_path, capsys, text, said):
    file = tmp_path / "my.toml"
    file.write_text(text)
    assert status_of("--config", file) == 78
    answer = sentence(capsys)
    assert str(file) in answer
    assert said in answer


@pytest.mark.parametrize("wanted", ["argument", "variable"])
def test_a_start_that_fails_is_told_in_json_to_who_reads_json(
    tmp_path, capsys, monkeypatch, wanted
):
    given = ["--log-format", "json"]
    if wanted == "variable":
        given = []
        monkeypatch.setenv("DATD_LOG__FORMAT", "json")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "my.toml").write_text("[swarm]\nprot = 1\n")
    for arguments, status in (
        (["--config", tmp_path / "my.toml"], 78),
        (["--data-dir", tmp_path / "file" / "data"], 1),
        (["--data-dir", tmp_path / "file" / "data", "--log-level", "error"], 1),
    ):
        assert status_of(*arguments, *given) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["level"] == "critical"
        assert str(tmp_path) in json.loads(line)["message"]


@pytest.mark.parametrize("module", ["datd.errors", "datd.catalogue", "datd.daemon", "datd.cli"])
def test_ctrl_c_while_it_is_loaded_leaves_no_traceback(tmp_path, module):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "datd", "--data-dir", str(tmp_path / "data"),
         "--port", "0", "--api-port", "0", "--no-mdns", "--api-socket", str(tmp_path / "api")],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    while not process.stderr.readline().rstrip().endswith(f" {module}"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGINT)
    assert "Traceback" not in told


def test_a_configuration_that_is_not_there_is_wrong(tmp_path, capsys):
    file = tmp_path / "absent.toml"
    assert status_of("--config", file) == 78
    assert sentence(capsys) == f"{file} cannot be read: No such file or directory"


def test_a_wrong_variable_is_named(monkeypatch, capsys):
    monkeypatch.setenv("DATD_SWARM__PORT", "a lot")
    assert status_of() == 78
    assert sentence(capsys).startswith("$DATD_SWARM__PORT: swarm.port = 'a lot'")


def test_a_public_api_has_to_be_meant(tmp_path, capsys):
    assert status_of("--data-dir", tmp_path, "--port", 0, "--api-host", "0.0.0.0") == 78
    assert "set api.allow_public if that is meant" in sentence(capsys)


def test_a_folder_that_cannot_be_one_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert status_of("--data-dir", tmp_path / "file" / "data") == 1
    assert sentence(capsys) == f"{tmp_path}/file/data cannot be used: Not a directory"


def test_an_api_port_that_is_taken_ends_the_start(tmp_path, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status = status_of("--data-dir", tmp_path, "--port", 0, "--api-port", port, "--no-mdns")
    assert status == 1
    assert sentence(capsys) == (
        f"the API cannot listen on 127.0.0.1:{port} (Address already in use); "
        "choose another api.port"
    )


def test_an_address_that_is_not_of_this_host_is_named(tmp_path, capsys):
    # 192.0.2.0/24 is for documentation: no host has it.
    given = ("--host", "192.0.2.1", "--port", 0, "--api-port", 0, "--no-mdns")
    assert status_of("--data-dir", tmp_path, *given) == 1
    assert sentence(capsys) == (
        "cannot listen for peers on 192.0.2.1 (Cannot assign requested address): see swarm.host"
    )


def test_c20_a_catalogue_of_a_newer_datd_is_left_alone(tmp_path, capsys):
    file = tmp_path / "catalogue.sqlite3"
    book = sqlite3.connect(file)
    book.executescript("PRAGMA journal_mode = WAL; PRAGMA user_version = 99;")
    book.close()
    before = file.read_bytes()
    assert status_of("--data-dir", tmp_path, "--port", 0, "--api-port", 0, "--no-mdns") == 78
    assert "was written by a newer datd" in sentence(capsys)
    assert file.read_bytes() == before


@pytest.mark.parametrize("arguments", [["--bogus"], ["--port", "x"], ["--log-level", "loud"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: datd" in capsys.readouterr().err


def test_the_version_is_told():
    done = run_datd("--version")
    assert (done.returncode, done.stdout) == (0, f"datd {datd.__version__}\n")


def test_help_shows_examples_and_the_next_command():
    done = run_datd("--help")
    assert done.returncode == 0
    assert "datd --data-dir" in done.stdout
    assert "datctl add dat://KEY" in done.stdout


def test_the_command_line_comes_before_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATD_DATA_DIR", str(tmp_path / "from the environment"))
    (tmp_path / "given").write_text("")
    assert status_of("--data-dir", tmp_path / "given") == 1
    assert sentence(capsys).startswith(f"{tmp_path}/given ")
    assert not (tmp_path / "from the environment").exists()


def test_a_missing_event_loop_is_a_wrong_setting(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setenv("DATD_EVENT_LOOP", "uvloop")
    assert status_of("--data-dir", tmp_path / "data") == 78
    assert "uvloop is not installed" in sentence(capsys)


def test_a_log_line_in_json_holds_the_traceback_of_a_fault_of_ours():
    try:
        raise ValueError("a fault")
    except ValueError:
        record = logging.LogRecord("datd.x", 40, "x.py", 1, "%s ended", ("it",), sys.exc_info())
    line = cli._JsonFormatter().format(record)
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "datd.x", "it ended")
    assert "ValueError: a fault" in entry["traceback"]


@pytest.mark.parametrize("journal", [True, False])
def test_the_journal_notes_the_time_itself(journal: bool):
    read, write = os.pipe()
    pipe = os.fstat(write)
    stream = f"{pipe.st_dev}:{pipe.st_ino}" if journal else "1:1"
    code = (
        "import logging; from datd import cli, settings; "
        "cli._set_up_logging(settings.LogSettings()); logging.info('well')"
    )
    try:
        subprocess.run(
            [sys.executable, "-c", code],
            stderr=write, check=True, env={**os.environ, "JOURNAL_STREAM": stream},
        )  # fmt: skip
    finally:
        os.close(write)
    with os.fdopen(read) as told:
        line = told.read()
    assert line.endswith("INFO well\n")
    assert line.startswith("INFO") == journal
