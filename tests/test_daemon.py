"""One daemon as a process: its start, its signals, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import Queue

import pytest

from tests.helpers.daemon import (
    START_SECONDS,
    STOP_SECONDS,
    VERB_SECONDS,
    RunningDaemon,
    run_datd,
    running_daemon,
)
from tests.helpers.relay import slow_wire
from tests.helpers.seeds import make


def try_datctl(
    daemon: RunningDaemon, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A verb by somebody who gives no options: only the usual places are searched."""
    usual = {"PATH": os.environ["PATH"], "HOME": str(daemon.folder.parent)}
    return subprocess.run(
        [sys.executable, "-m", "datctl", *arguments],
        env={**usual, **environment},
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
    )


def datctl(daemon: RunningDaemon, *arguments: str, **environment: str) -> str:
    """The same, and it must work."""
    done = try_datctl(daemon, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- start


def test_it_starts_in_an_empty_folder_and_tells_where_it_is(tmp_path: Path):
    with running_daemon(tmp_path / "new" / "data") as daemon:
        told = daemon.messages
        assert any(f"keeps its data in {daemon.folder}" in line for line in told)
        assert f"peers: TCP and UDP port {daemon.peer_port}" in told
        assert f"API: {daemon.api}" in told
        assert told[-1].startswith("next: datctl add LINK")
        assert {file.name for file in daemon.folder.iterdir()} >= {"catalogue.sqlite3", "lock"}
        assert daemon.ask("list") == []


def test_t50_the_token_is_private_and_found_by_datctl(tmp_path: Path):
    with running_daemon(tmp_path / "data") as daemon:
        assert (daemon.folder / "api.token").stat().st_mode & 0o777 == 0o600
        assert daemon.folder.stat().st_mode & 0o777 == 0o700
        place = {"DATD_DATA_DIR": str(daemon.folder), "DATD_API": daemon.api}
        assert json.loads(datctl(daemon, "list", "--json", **place)) == []


def test_t42_without_a_token_datctl_says_where_one_is(tmp_path: Path):
    with running_daemon(tmp_path / "data") as daemon:
        done = try_datctl(daemon, "list", DATD_API=daemon.api)
        assert done.returncode == 1
        assert done.stderr.startswith("datctl: no token: give it as $DATD_TOKEN")
        (daemon.folder / "api.token").chmod(0o644)
        place = {"DATD_API": daemon.api, "DATD_DATA_DIR": str(daemon.folder)}
        assert "chmod 600" in try_datctl(daemon, "list", **place).stderr


def test_datctl_finds_the_unix_socket_without_any_option(tmp_path: Path):
    # A path of a Unix socket holds 107 bytes, less than the name of a test's own folder may need.
    with ExitStack() as stack:
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datd-run-")))
        place = {"XDG_RUNTIME_DIR": str(runtime)}
        daemon = stack.enter_context(running_daemon(tmp_path / "data", environment=place))
        socket_file = runtime / "datd" / "api.sock"
        assert socket_file.stat().st_mode & 0o777 == 0o660
        assert f"answers at {socket_file}" in datctl(daemon, "status", **place)
        assert daemon.stop() == 0
        assert not socket_file.exists()


def test_d8_c14_a_second_daemon_on_the_same_folder_names_the_first(tmp_path: Path):
    with running_daemon(tmp_path) as first:
        done = run_datd("--data-dir", tmp_path, "--port", 0, "--api-port", 0, "--no-mdns")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"{tmp_path} is in use by process {first.process.pid}" in line
        assert "--data-dir" in line
        assert first.ask("list") == []


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_peer_port_that_is_taken_is_replaced_and_that_is_said(
    tmp_path: Path, kind: socket.SocketKind
):
    with socket.socket(type=kind) as other:
        other.bind(("0.0.0.0", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        taken = other.getsockname()[1]
        with running_daemon(tmp_path, peer_port=taken) as daemon:
            assert daemon.peer_port != taken
            said = f"port {taken} is taken: peers reach us at {daemon.peer_port}"
            assert said in daemon.messages
            socket.create_connection(("127.0.0.1", daemon.peer_port), 30).close()


def test_each_line_of_the_json_log_is_json(tmp_path: Path):
    with running_daemon(tmp_path, "--log-level", "debug") as daemon:
        daemon.datctl("show", "nothing", check=4)
        assert daemon.stop() == 0
    for line in daemon.log:
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


# ---- signals


def test_sigterm_and_sigint_end_it_as_asked(tmp_path: Path):
    for number in (signal.SIGTERM, signal.SIGINT):
        with running_daemon(tmp_path) as daemon:
            daemon.process.send_signal(number)
            assert daemon.process.wait(STOP_SECONDS) == 0
        assert daemon.messages[-1] == "stopping"


def test_c18_sigterm_under_load_flushes_and_ends_in_time(tmp_path: Path):
    seed = make(1, tmp_path / "a", size=8_000_000)
    with running_daemon(tmp_path / "a") as seeder, ExitStack() as stack:
        seeder.request("POST", "/archives", {"link": seed.key})
        port = stack.enter_context(slow_wire("127.0.0.1", seeder.peer_port, 2_000_000))
        readers = [stack.enter_context(running_daemon(tmp_path / name)) for name in "bc"]
        for reader in readers:
            body = {"link": seed.key, "peers": [f"127.0.0.1:{port}"]}
            reader.request("POST", "/archives", body)
        for reader in readers:
            reader.wait_until(partial(has_blocks, reader, seed.key), "begun")
        for daemon in (readers[0], seeder):
            assert daemon.stop() == 0
            assert not [line for line in daemon.log if "Traceback" in line or "rror" in line]
    # What was counted when it ended is there when it comes back, without another look at the files.
    with running_daemon(tmp_path / "b") as reader:
        assert reader.archive(seed.key)["error"] is None
        assert has_blocks(reader, seed.key)


def has_blocks(daemon: RunningDaemon, key: str) -> bool:
    return bool(daemon.archive(key)["blocks"]["have"] > 5)


def test_c18_a_second_sigterm_ends_it_at_once_and_the_next_start_is_clean(tmp_path: Path):
    seed = make(1, tmp_path / "a", size=4_000_000)
    with running_daemon(tmp_path / "a") as seeder, running_daemon(tmp_path / "b") as reader:
        seeder.request("POST", "/archives", {"link": seed.key})
        with slow_wire("127.0.0.1", seeder.peer_port, 1_000_000) as port:
            body = {"link": seed.key, "peers": [f"127.0.0.1:{port}"]}
            reader.request("POST", "/archives", body)
            reader.wait_until(lambda: has_blocks(reader, seed.key), "some blocks are here")
            reader.process.send_signal(signal.SIGTERM)
            reader.process.send_signal(signal.SIGTERM)
            ended = reader.process.wait(STOP_SECONDS)
        # 1 unless it had ended before the second one came, or all had but the interpreter, in which
        # nobody listens any more: SQLite takes its log away when a catalogue is closed.
        if ended != 1:
            assert ended in (0, -signal.SIGTERM)
            assert not (tmp_path / "b/catalogue.sqlite3-wal").exists()
        with running_daemon(tmp_path / "b") as reader:
            reader.datctl("peers", "add", seed.key, f"127.0.0.1:{seeder.peer_port}")
            reader.datctl("add", seed.key, "--wait", "120")
            assert reader.archive(seed.key)["error"] is None


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.3, 0.4])
def test_c18_sigterm_during_the_start_leaves_a_folder_that_starts(tmp_path: Path, delay: float):
    ports = ("--port", "0", "--api-port", "0", "--no-mdns")
    process = subprocess.Popen(
        [sys.executable, "-m", "datd", "--data-dir", str(tmp_path / "data"), *ports],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.terminate()
    # It may hear of it only when it has come as far as that.
    _, said = process.communicate(timeout=START_SECONDS + STOP_SECONDS)
    # Before Python has come so far as to listen to it, the signal ends any process.
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
    with running_daemon(tmp_path / "data") as daemon:
        assert daemon.ask("list") == []


def test_c18_what_did_not_end_in_time_is_not_waited_for(tmp_path: Path):
    in_no_time = (
        "import sys\nfrom datd import cli, daemon\ndaemon.STOP_SECONDS = 0.0\n"
        "sys.exit(cli.main(sys.argv[sys.argv.index('datd') + 1 :]))"
    )
    # Nobody listens there: the webhook tries again for a day.
    with socket.socket() as refuses, ExitStack() as stack:
        refuses.bind(("127.0.0.1", 0))
        place = {"DATD_WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]'}
        prefix = (sys.executable, "-c", in_no_time)
        daemon = stack.enter_context(running_daemon(tmp_path, prefix=prefix, environment=place))
        url = f"http://127.0.0.1:{refuses.getsockname()[1]}/"
        hook = daemon.request("POST", "/webhooks", {"url": url})
        daemon.request("POST", "/archives", {"new": {}})
        path = f"/webhooks/{hook['id']}"
        daemon.wait_until(lambda: daemon.request("GET", path)["attempts"], "an attempt")
        assert daemon.stop() == 0
        assert "not everything ended within 0 s" in daemon.messages


def test_c18_what_does_not_end_well_keeps_nothing_else_from_it(tmp_path: Path):
    with ExitStack() as stack:
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datd-run-")))
        place = {"XDG_RUNTIME_DIR": str(runtime)}
        daemon = stack.enter_context(running_daemon(tmp_path / "data", environment=place))
        # Somebody has put a folder where the socket was, which is not ours to remove.
        (runtime / "datd/api.sock").unlink()
        (runtime / "datd/api.sock").mkdir()
        assert daemon.stop() == 0
        assert "something did not end well" in daemon.messages
        # SQLite takes its log away when a catalogue is closed.
        assert not (daemon.folder / "catalogue.sqlite3-wal").exists()


def test_sighup_reads_the_log_level_anew(tmp_path: Path):
    settings = tmp_path / "datd.toml"
    settings.write_text("[log]\nlevel = 'info'\n")
    with running_daemon(tmp_path / "data", "--config", str(settings)) as daemon:

        def reload(text: str, answer: str) -> None:
            settings.write_text(text)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_until(lambda: any(answer in m for m in daemon.messages), answer)

        reload("[log]\nlevel = 'loud'\n", "settings are kept as they were")
        reload("[log]\nlevel = 'debug'\n", "logging and address lists were set anew")
        assert daemon.stop() == 0
    assert "signal 15" in daemon.messages, "the end is told at level debug"


# ---- service manager


def test_systemd_hears_ready_watchdog_reloading_and_stopping(tmp_path: Path):
    address = f"\0datd-test-{os.getpid()}"
    heard: Queue[str] = Queue()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        place = {"NOTIFY_SOCKET": address.replace("\0", "@"), "WATCHDOG_USEC": "200000"}

        def listen() -> None:
            # Always: the system keeps few messages, and whoever has another one waits for room.
            while said := manager.recv(1000).decode():
                heard.put(said)

        def hear(word: str) -> None:
            while not heard.get(timeout=START_SECONDS).startswith(word):
                pass

        ear = threading.Thread(target=listen, daemon=True)
        ear.start()
        with running_daemon(tmp_path, environment=place) as daemon:
            hear("READY=1")
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            daemon.process.send_signal(signal.SIGHUP)
            hear("RELOADING=1\nMONOTONIC_USEC=")
            hear("READY=1")
            assert daemon.stop() == 0
        hear("STOPPING=1")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", address)
        ear.join()


# ---- the gateway


def test_the_gateway_is_named_and_can_be_left_out(tmp_path: Path):
    with running_daemon(tmp_path / "a") as daemon:
        assert [line for line in daemon.messages if line.startswith("gateway: http://localhost:")]
    off = {"DATD_GATEWAY__ENABLED": "false"}
    with running_daemon(tmp_path / "b", environment=off) as daemon:
        assert not [line for line in daemon.messages if line.startswith("gateway")]


def test_a_gateway_whose_port_is_taken_ends_nothing_else(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {"DATD_GATEWAY__PORT": str(taken.getsockname()[1])}
        with running_daemon(tmp_path / "a", environment=port) as daemon:
            [line] = [line for line in daemon.messages if line.startswith("the gateway")]
            assert "choose another gateway.port; going on without it" in line
            assert daemon.ask("list") == []


def test_a_gateway_for_everybody_has_to_be_meant(tmp_path: Path):
    done = run_datd(
        *("--data-dir", str(tmp_path / "a"), "--port", "0", "--api-port", "0", "--no-mdns"),
        environment={"DATD_GATEWAY__HOST": "0.0.0.0"},
    )
    assert done.returncode in (1, 78)
    assert "gateway.allow_public" in done.stderr
