"""Runs `datd discovery-server` for tests: a process of its own, on loopback or in a lab host."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.helpers.lab import Lab

# Five times what a loaded machine of two cores was seen to need (decision 29).
START_SECONDS = 30.0

COMMAND = (sys.executable, "-m", "datd", "discovery-server")


@dataclass
class RunningDiscoveryServer:
    """A server that answers.

    Attributes:
        address: How its host is called by others.
        ports: Where it listens, as they were given.
    """

    process: subprocess.Popen[str]
    address: str
    ports: list[int] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def server(self) -> str:
        """As programs are told of it: `HOST:PORT`, the first port."""
        return f"{self.address}:{self.ports[0]}"

    def numbers(self) -> str:
        """What it tells of itself when asked."""
        before = len(self.log)
        self.process.send_signal(signal.SIGUSR1)
        return self.wait_for_line("subscriptions", after=before).partition(" INFO ")[2]

    def wait_for_numbers(self, part: str, *, seconds: float = START_SECONDS) -> str:
        """What it tells of itself as soon as that has this part."""
        deadline = time.monotonic() + seconds
        while part not in (told := self.numbers()):
            assert time.monotonic() < deadline, f"not {part!r}: {told}"
            time.sleep(0.05)
        return told

    def stop(self) -> int:
        """Ask it to end; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def wait_for_line(self, part: str, *, after: int = 0, seconds: float = START_SECONDS) -> str:
        """The first line of its log, from the `after`th on, that has this part."""
        with self._news:
            self._news.wait_for(
                lambda: any(part in line for line in self.log[after:]) or self.process.poll(),
                seconds,
            )
            found = [line for line in self.log[after:] if part in line]
        assert found, f"the discovery server did not say {part!r}:\n" + "\n".join(self.log)
        return found[0]

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._news:
                    self.log.append(line.rstrip())
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def running_discovery_server(
    lab: Lab | None = None, host: str = "", *arguments: str
) -> Iterator[RunningDiscoveryServer]:
    """A discovery server for the time of a `with`.

    Args:
        lab: Network in which it runs; without one, loopback.
        host: Host of the lab.
        arguments: Further ones for `datd discovery-server`; on loopback it takes any free port
            unless they name one, in a lab 5300.
    """
    prefix = lab.prefix(host) if lab else []
    own = (
        () if lab else ("--host", "127.0.0.1", *([] if "--port" in arguments else ("--port", "0")))
    )
    process = subprocess.Popen(
        [*prefix, *COMMAND, *own, *arguments],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    server = RunningDiscoveryServer(process, lab.ip(host) if lab else "127.0.0.1")
    ear = threading.Thread(target=server._listen, daemon=True)
    ear.start()
    try:
        told = server.wait_for_line("listening on UDP ").split("listening on UDP ")[1]
        server.ports += [int(one.rpartition(":")[2]) for one in told.split(", ")]
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        ear.join(10)
