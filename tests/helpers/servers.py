"""Runs `datd discovery-server` and `datd dht-node` for tests: on loopback or in a lab host."""

import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.helpers.lab import Lab
from tests.helpers.reference import PATIENCE, Program, Where

# What either of them tells of itself when asked.
_NUMBERS = re.compile(r"(\d+ peers of .*|nodes \d.*)$")


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers.

    Attributes:
        program: Its process and log.
        address: How its host is called by others.
        ports: Where it listens, as they were given.
    """

    program: Program
    address: str
    ports: list[int]

    @property
    def server(self) -> str:
        """As programs are told of it: `HOST:PORT`, the first port."""
        return f"{self.address}:{self.ports[0]}"

    def numbers(self) -> str:
        """What it tells of itself when asked."""
        told = len(self.program.said("line", text=_NUMBERS))
        self.program.process.send_signal(signal.SIGUSR1)
        line = self.program.wait_for("line", text=_NUMBERS, count=told + 1)["text"]
        found = _NUMBERS.search(line)
        assert found is not None
        return found[1]

    def wait_for_numbers(self, pattern: str) -> str:
        """What it tells of itself as soon as a regular expression is found in that."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, told := self.numbers()):
            assert time.monotonic() < deadline, f"not {pattern}: {told}"
            time.sleep(0.05)
        return told

    def stop(self) -> int:
        """Ask it to end; gives the exit status."""
        self.program.process.send_signal(signal.SIGTERM)
        return self.program.wait_for_end()


@contextmanager
def running_server(
    command: str, lab: Lab | None = None, host: str = "", *arguments: object
) -> Iterator[Server]:
    """A server for the time of a `with`.

    Args:
        command: Of `datd`.
        lab: Network in which it runs; without one, loopback.
        host: Host of the lab.
        arguments: Further ones. On loopback it takes any free port unless they name one; in a lab
            its usual one, of all addresses.
    """
    where = Where(lab, host)
    own = [] if lab else ["--host", where.address]
    if not lab and "--port" not in arguments:
        own += ["--port", "0"]
    words = where.words([sys.executable, "-m", "datd", command, *own, *map(str, arguments)])
    with Program.start(words, f"datd {command}") as program:
        told = program.wait_for_line(r"listening on UDP (.*)$")[1]
        ports = [int(one.rpartition(":")[2]) for one in told.split(", ")]
        yield Server(program, where.address, ports)


running_discovery_server = partial(running_server, "discovery-server")
running_dht_node = partial(running_server, "dht-node")
