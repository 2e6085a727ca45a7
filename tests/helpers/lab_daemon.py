"""Daemons and DHT nodes of ours in the hosts of a lab.

A daemon's API is reached through its Unix socket: that lies in the file system, which the hosts of
a lab share, so no program has to be started there, and nothing that is said is in a capture.
"""

import contextlib
import http.client
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.daemon import START_SECONDS, RunningDaemon, running_daemon
from tests.helpers.lab import Lab
from tests.helpers.processes import processor_seconds
from tests.helpers.servers import running_dht_node


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=START_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class LabDaemon:
    """A daemon in a host of a lab.

    Attributes:
        running: The process, its folder and its log.
        slowest: Seconds that the slowest answer took.
    """

    def __init__(self, running: RunningDaemon, path: Path) -> None:
        self.running = running
        self.slowest = 0.0
        self._path = path

    def request(self, method: str, path: str, body: object = None) -> Any:
        """One request; the decoded answer.

        Each over a connection of its own: the daemon closes one that is idle for a while, and what
        tests wait for may take longer.
        """
        headers = {
            "Authorization": f"Bearer {self.running.token}",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body)
        begin = time.monotonic()
        with contextlib.closing(_Connection(self._path)) as connection:
            connection.request(method, f"/api/v1{path}", data, headers)
            answer = connection.getresponse()
            text = answer.read()
        self.slowest = max(self.slowest, time.monotonic() - begin)
        assert answer.status < 400, f"{method} {path}: {answer.status} {text.decode()}"
        return json.loads(text) if text else None

    def add(self, key: str, **fields: object) -> None:
        """Host an archive."""
        self.request("POST", "/archives", {"link": key, **fields})

    def archive(self, key: str) -> Any:
        """One archive, as it is shown."""
        return self.request("GET", f"/archives/{key}")

    def blocks(self, key: str) -> int:
        """Blocks that are here."""
        return int(self.archive(key)["blocks"]["have"])

    def whole(self, key: str) -> bool:
        """Whether all of an archive is here."""
        return bool(self.archive(key)["state"] == "seeding")

    def peers(self, key: str) -> list[Any]:
        """Everybody who is known to have it."""
        return list(self.request("GET", f"/archives/{key}/peers")["peers"])

    def wait_until(
        self, condition: Callable[[], Any], what: str, *, seconds: float = START_SECONDS
    ) -> Any:
        """Ask again until something is true, and give it."""
        return self.running.wait_until(condition, what, seconds=seconds)

    @property
    def cpu(self) -> float:
        """Seconds of the processor that it has used."""
        return processor_seconds(self.running.process.pid)

    def busy(self, seconds: float) -> float:
        """The share of one processor that it uses over a time."""
        before, begin = self.cpu, time.monotonic()
        time.sleep(seconds)
        return (self.cpu - before) / (time.monotonic() - begin)

    def stop(self) -> int:
        """Ask it to end; gives the exit status."""
        return self.running.stop()


@contextmanager
def lab_daemon(
    lab: Lab,
    host: str,
    folder: Path,
    *arguments: str,
    port: int = 3282,
    mdns: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[LabDaemon]:
    """A daemon in a host of a lab for the time of a `with`.

    Args:
        lab: The network.
        host: Where it runs.
        folder: Its data folder; kept afterwards.
        arguments: Further ones for `datd`.
        port: TCP and UDP port for peers.
        mdns: Whether to look for peers by multicast.
        environment: Variables beside the usual ones.
    """
    # The name of a Unix socket has room for 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="datd-") as place:
        path = Path(place) / "api"
        given = ("--api-socket", str(path), *arguments)
        prefix = lab.prefix(host)
        with running_daemon(
            folder, *given, prefix=prefix, peer_port=port, mdns=mdns, environment=environment
        ) as running:
            yield LabDaemon(running, path)


@contextmanager
def lab_dht_node(lab: Lab, host: str) -> Iterator[str]:
    """`datd dht-node` in a host of a lab, generous to a few askers; gives `HOST:PORT`."""
    generous = ("--queries", 200, "--bytes", 1_000_000)
    with running_dht_node(lab, host, *generous) as node:
        yield node.server
