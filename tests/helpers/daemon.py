"""Runs real daemons for tests: a process of its own, on loopback or inside a lab host."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from datd.daemon import LANE_THREADS
from tests.helpers import processes

T = TypeVar("T")

# Five times what a loaded machine of two cores was seen to need (decision 29). A start took more
# than 30 s where a dozen programs wanted the same processor.
START_SECONDS = 90
VERB_SECONDS = 180
STOP_SECONDS = 60
# Threads that a daemon may have, whatever the number of its archives. The system does not know the
# names of Python's, so all are counted that there can be: the main one, the lanes, those of the
# event loop (for Python and for uvloop), one each of the catalogue, the audit log, the state of the
# DHT and two indexes, and those in which two names are looked up.
MOST_THREADS = 1 + LANE_THREADS + min(32, (os.cpu_count() or 1) + 4) + 4 + 5 + 2


@dataclass
class RunningDaemon:
    """A daemon, its folder, and `datctl` pointed at it."""

    process: subprocess.Popen[str]
    folder: Path
    peer_port: int
    api: str
    prefix: Sequence[str] = ()
    log: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    @property
    def archives(self) -> Path:
        return self.folder / "archives"

    @property
    def token(self) -> str:
        return (self.folder / "api.token").read_text().strip()

    def datctl(
        self, *arguments: str, check: int | None = 0, timeout: float = VERB_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb; its exit status must be `check` unless that is None."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "datctl", *arguments],
            env={**os.environ, "DATD_API": self.api, "DATD_TOKEN": self.token, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        if check is not None:
            assert done.returncode == check, (
                f"datctl {' '.join(arguments)} gave {done.returncode}, not {check}:\n"
                f"{done.stdout}{done.stderr}\n" + "\n".join(self.log[-30:])
            )
        return done

    def ask(self, *arguments: str) -> Any:
        """The `--json` answer of a verb."""
        return json.loads(self.datctl(*arguments, "--json").stdout)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """One request to the API, without the start of a program; the decoded answer."""
        connection = http.client.HTTPConnection(urlsplit(self.api).netloc, timeout=START_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", data, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {text.decode()}"
        return json.loads(text) if text else None

    def archive(self, key: str) -> Any:
        """One archive, as the API shows it."""
        return self.request("GET", f"/archives/{key}")

    def wait_until(
        self, condition: Callable[[], T], what: str, *, seconds: float = START_SECONDS
    ) -> T:
        """Ask again until something is true, and give it; generous (decision 29)."""
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, "datd ended:\n" + "\n".join(self.log[-30:])
            assert time.monotonic() < deadline, f"not {what}:\n" + "\n".join(self.log[-30:])
            time.sleep(0.02)

    @property
    def messages(self) -> list[str]:
        """What the log says, without time and level."""
        return [json.loads(line)["message"] for line in self.log]

    @property
    def open_files(self) -> list[str]:
        """What its descriptors lead to."""
        return processes.open_files(self.process.pid)

    @property
    def threads(self) -> int:
        return processes.threads(self.process.pid)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return processes.memory(self.process.pid)

    def kill(self) -> None:
        """As a power cut would end it."""
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """Ask it to end; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        status = self.process.wait(STOP_SECONDS)
        if self.reader is not None:
            self.reader.join(STOP_SECONDS)  # then all that it said is in the log
        return status


@contextmanager
def running_daemon(
    folder: Path,
    *arguments: str,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    peer_port: int = 0,
    mdns: bool = False,
) -> Iterator[RunningDaemon]:
    """A daemon for the time of a `with`, ready to be asked.

    Args:
        folder: Its data folder; kept afterwards.
        arguments: Further ones for `datd`.
        prefix: A command that runs it elsewhere, such as inside a network namespace.
        environment: Variables beside the usual ones.
        peer_port: TCP port for peers; 0 for any.
        mdns: Whether to look for peers by multicast.
    """
    process = subprocess.Popen(
        [
            *prefix,
            sys.executable,
            "-m",
            "datd",
            *("--data-dir", str(folder), "--port", str(peer_port), "--api-port", "0"),
            *([] if mdns else ["--no-mdns"]),
            *("--log-format", "json"),
            *arguments,
        ],
        env={**clean_environment(), **(environment or {})},
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    log: list[str] = []
    ready = threading.Event()
    reader = threading.Thread(target=_follow, args=(process, log, ready), daemon=True)
    reader.start()
    try:
        if not ready.wait(START_SECONDS) or process.poll() is not None:
            raise AssertionError("datd did not start:\n" + "\n".join(log))
        told = {key: value for line in log for key, value in _told(line)}
        port, api = int(told["port"]), told["api"]
        yield RunningDaemon(process, folder, port, api, prefix=prefix, log=log, reader=reader)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        reader.join(STOP_SECONDS)


def run_datd(
    *arguments: object, environment: Mapping[str, str] | None = None, timeout: float = START_SECONDS
) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "datd", *map(str, arguments)],
        env={**clean_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def clean_environment() -> dict[str, str]:
    """Variables for a daemon that touches none of the machine's user, nor those of other tests."""
    return {"DATD_GATEWAY__PORT": "0"} | {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DATD_") and name not in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY")
    }


def _follow(process: "subprocess.Popen[str]", log: list[str], ready: threading.Event) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            log.append(line.rstrip())
            if "next: datctl" in line:
                ready.set()
    ready.set()


def _told(line: str) -> Iterator[tuple[str, str]]:
    try:
        message = json.loads(line)["message"]
    except (ValueError, KeyError):
        return
    if message.startswith("peers: "):
        yield "port", message.rsplit(" ", 1)[1]
    elif message.startswith("API: "):
        yield "api", message.removeprefix("API: ").split(" ")[0]


async def eventually(condition, *, seconds: float = 120.0, what: str = "it") -> Any:
    """Ask again until a condition gives something true; a generous deadline (decision 29)."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)
