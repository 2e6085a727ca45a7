"""C-17: no descriptor is left. The daemon waits, says so once, and goes on by itself."""

import hashlib
import http.client
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.helpers.callers import calling
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.processes import processor_seconds
from tests.helpers.seeds import Seed, host, make
from tests.helpers.writing import Writer


@contextmanager
def no_descriptors(daemon: RunningDaemon) -> Iterator[None]:
    """The daemon can open nothing; what it has open it keeps."""
    number = daemon.process.pid
    soft, hard = resource.prlimit(number, resource.RLIMIT_NOFILE)
    resource.prlimit(number, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.prlimit(number, resource.RLIMIT_NOFILE, (soft, hard))


class Caller:
    """A connection to the API, kept open."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(daemon.api).netloc, timeout=120)
        self._headers = {"Authorization": f"Bearer {daemon.token}"}

    def ask(self, path: str) -> None:
        self._connection.request("GET", f"/api/v1{path}", headers=self._headers)

    def put(self, key: str, path: str, body: bytes) -> int:
        kind = {"Content-Type": "application/octet-stream"}
        address = f"/api/v1/archives/{key}/files{path}"
        self._connection.request("PUT", address, body, {**self._headers, **kind})
        return self.answer()[0]

    def answer(self) -> tuple[int, bytes]:
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seed]:
    """A data folder whose daemon has ended: the next one opens its archive when it is asked."""
    folder = tmp_path_factory.mktemp("hosted") / "data"
    seed = make(1, folder, size=300_000)
    with running_daemon(folder) as daemon:
        host(daemon, seed)
        assert daemon.stop() == 0
    return folder, seed


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_c17_without_descriptors_it_waits_and_goes_on_by_itself(
    loop: str, hosted: tuple[Path, Seed], tmp_path: Path
):
    seed = hosted[1]
    folder = Path(shutil.copytree(hosted[0], tmp_path / "data"))
    with running_daemon(folder, environment={"DATD_EVENT_LOOP": loop}) as daemon:
        (at,) = [line for line in daemon.messages if line.startswith("gateway: ")]
        gateway = int(at.removesuffix("/KEY").rpartition(":")[2])
        known, new = Caller(daemon), Caller(daemon)
        known.ask("/archives")
        assert known.answer()[0] == 200
        assert not archive_files(daemon)
        with no_descriptors(daemon), ExitStack() as waiting:
            peer = waiting.enter_context(calling(daemon.peer_port))
            browser = waiting.enter_context(calling(gateway))
            browser.settimeout(120)
            browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            new.ask("/archives")
            begin = processor_seconds(daemon.process.pid)
            time.sleep(2)
            assert processor_seconds(daemon.process.pid) - begin < 1, (
                "it asks the kernel again and again"
            )
            # An archive that cannot be looked at now is neither damaged nor gone.
            known.ask(f"/archives/{seed.key}/files/file")
            status, told = known.answer()
            assert (status, b"Too many open files" in told) == (503, True), told
            known.ask(f"/archives/{seed.key}")
            status, told = known.answer()
            assert (status, json.loads(told)["state"]) == (200, "seeding")
            served = waiting.pop_all()
        # Whoever waited meanwhile is served.
        with served:
            assert new.answer()[0] == 200
            assert browser.recv(12) == b"HTTP/1.1 200"
            # What is no Dat ends a connection, once somebody reads it.
            peer.settimeout(120)
            with suppress(ConnectionResetError):
                peer.sendall(b"\xff" * 100)
                assert peer.recv(1) == b""
        known.ask(f"/archives/{seed.key}/files/file")
        status, body = known.answer()
        assert hashlib.sha256(body).hexdigest() == seed.files["/file"]
        known.close()
        new.close()
        assert daemon.stop() == 0
    said = [line for line in daemon.messages if "Too many open files" in line and " wait" in line]
    assert len(said) == 1, said
    assert not [line for line in daemon.log if "Traceback" in line]


def archive_files(daemon: RunningDaemon) -> list[str]:
    return [path for path in daemon.open_files if path.startswith(str(daemon.archives))]


def test_c17_what_was_answered_for_is_there_whatever_a_shortage_cut_short(tmp_path: Path):
    with running_daemon(tmp_path / "data") as daemon:
        writer = Writer(daemon)
        key = writer.create()
        done: dict[str, bytes] = {}
        writers = [Caller(daemon) for _ in range(12)]
        for caller in writers:
            caller.ask("/archives")
            caller.answer()
        for number, caller in enumerate(writers):
            path, body = f"/{number}", str(number).encode() * 100_000
            if number % 3 == 1:
                with no_descriptors(daemon):
                    status = caller.put(key, path, body)
            else:
                status = caller.put(key, path, body)
            if status < 400:
                done[path] = body
            else:
                assert status in (500, 503)
            caller.close()
        assert len(done) >= 8, "it goes on between the shortages"
        daemon.kill()
    with running_daemon(tmp_path / "data") as daemon:
        assert daemon.archive(key)["state"] != "error"
        reader = Caller(daemon)
        for path, body in done.items():
            reader.ask(f"/archives/{key}/files{path}")
            assert reader.answer() == (200, body)
        reader.close()
        writer = Writer(daemon)
        writer.put(key, "/last", b"and it is ours still")


def test_l21_with_too_few_to_begin_with_it_does_not_start_and_says_what_to_do(tmp_path: Path):
    begin = 'ulimit -n 100; exec "$0" -m datd --data-dir "$1" --port 0 --api-port 0 --no-mdns'
    done = subprocess.run(
        ["sh", "-c", begin, sys.executable, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "only 100 open files are allowed, datd needs 128: raise ulimit -n" in line
