"""datd as a side: the whole daemon as its users run it, driven through its API."""

import http.client
import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from datd import __version__
from datd.keys import Key
from tests.benchmarks.side import Reader, Source
from tests.helpers.daemon import RunningDaemon, running_daemon

# How often the daemon is asked whether it is done: after so many seconds, and such a part of the
# time that went by already. A fetch is timed that coarsely. Answers are work, too, which is counted
# as the fetch's: the slower the machine, the more of them there were at a fixed pace.
ASK_EVERY = 0.02
ASK_PART = 0.02
PATIENCE = 600.0
LOOPBACK = ("--host", "127.0.0.1")


Ask = Callable[..., Any]


@contextmanager
def asking(daemon: RunningDaemon) -> Iterator[Ask]:
    """Requests to the API over one connection, by method, path and body; they give the answer."""
    connection = http.client.HTTPConnection(urlsplit(daemon.api).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {daemon.token}", "Content-Type": "application/json"}

    def ask_it(method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/api/v1{path}", data, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    try:
        yield ask_it
    finally:
        connection.close()


def ask(daemon: RunningDaemon, method: str, path: str, body: object = None) -> Any:
    """One request to the API; gives the decoded answer."""
    with asking(daemon) as ask_it:
        return ask_it(method, path, body)


def wait_until_whole(daemon: RunningDaemon, key: str) -> None:
    """Return when the daemon says that it holds everything."""
    start = time.monotonic()
    with asking(daemon) as ask_it:
        while True:
            archive = ask_it("GET", f"/archives/{key}")
            if archive["state"] == "seeding" and archive["version"]:
                return
            took = time.monotonic() - start
            if took > PATIENCE or archive["error"]:
                end = "\n".join(daemon.log[-20:])
                raise RuntimeError(f"datd did not complete: {archive}\n{end}")
            time.sleep(max(ASK_EVERY, took * ASK_PART))


@dataclass
class _Reader:
    pid: int
    daemon: RunningDaemon
    source: Source

    def fetch(self) -> float:
        start = time.monotonic()
        peers = [f"127.0.0.1:{self.source.port}"]
        ask(self.daemon, "POST", "/archives", {"link": self.source.key, "peers": peers})
        wait_until_whole(self.daemon, self.source.key)
        return time.monotonic() - start


class DatdSide:
    """This checkout's daemon."""

    name = "datd"

    def describe(self) -> str:
        """Versions of datd, Python, event loop and crypto."""
        loop = f"uvloop {importlib.metadata.version('uvloop')}"
        crypto = f"libsodium of PyNaCl {importlib.metadata.version('pynacl')}"
        return f"datd {__version__}, CPython {platform.python_version()}, {loop}, {crypto}"

    @contextmanager
    def serve(self, store: Path, work: Path) -> Iterator[Source]:
        """Put a copy among the archives of a new daemon: it is adopted, checked, then served."""
        key = Key((store / "metadata.key").read_bytes())
        name = str(key.discovery_key)
        no_secrets = shutil.ignore_patterns("*.secret_key")
        shutil.copytree(store, work / "archives" / name[:2] / name[2:], ignore=no_secrets)
        with running_daemon(work, *LOOPBACK) as daemon:
            ask(daemon, "POST", "/archives", {"link": key.hex})
            ask(daemon, "GET", f"/archives/{key.hex}/files/")  # what lies there is looked at now
            wait_until_whole(daemon, key.hex)
            yield Source(daemon.process.pid, key.hex, daemon.peer_port)

    @contextmanager
    def reader(self, source: Source, work: Path) -> Iterator[Reader]:
        """A daemon that hosts nothing yet."""
        with running_daemon(work, *LOOPBACK) as daemon:
            yield _Reader(daemon.process.pid, daemon, source)
