"""Ports for programs that must be told one before they start.

A port that the system hands out and that is given back may be taken again before the program
has it: by a connection that leaves this host, or by a test at the same time. These lie below
those that the system hands out, each process of the tests has a stretch of its own, and none
is given twice while others are left.
"""

import contextlib
import itertools
import os
import random
import re
import socket
from pathlib import Path

_LOWEST = 10_000
_STRETCHES = 8


def _own_ports() -> list[int]:
    range_of_system = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    width = (max(int(range_of_system[0]), _LOWEST + 8_000) - _LOWEST) // _STRETCHES
    worker = re.search(r"\d+", os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    assert worker is not None
    first = _LOWEST + int(worker[0]) % _STRETCHES * width
    # Another run of the tests on this host begins elsewhere.
    turn = random.SystemRandom().randrange(width)
    return [first + (turn + number) % width for number in range(width)]


_ports = itertools.cycle(_own_ports())


def free_port() -> int:
    """One that nobody has, over TCP and UDP, at any address of this host."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many that follow one another."""
    run: list[int] = []
    for port in itertools.islice(_ports, 100_000):
        if not _is_free(port):
            run = []
            continue
        run = [*run, port] if run and port == run[-1] + 1 else [port]
        if len(run) == count:
            return run
    raise AssertionError(f"no {count} free ports")


def _is_free(port: int) -> bool:
    try:
        with contextlib.ExitStack() as stack:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("", port))
    except OSError:
        return False
    return True
