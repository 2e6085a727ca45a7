"""The cable of `Lab.wire`: two TUN devices and a loop between them that delays, loses and reorders.

Runs as a process of its own, `python cable.py`, told what to do by one JSON object on its standard
input. It prints `ok` when both ends are up and ends when a namespace is gone; SIGUSR1
pulls it out, SIGUSR2 plugs it in again. Good for about
100 Mbit/s. Its randomness is seeded: the same packets are lost each time.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
# How many packets are taken from one end before the other gets its turn.
BURST = 64
# How often, in seconds, the namespaces are looked for: a lab may go without telling us.
CHECK_EVERY = 2.0


@dataclass
class Cable:
    """What happens to packets between two ends, the same both ways."""

    ends: list[list[str]]  # namespace and address
    delay: float = 0.0  # milliseconds
    jitter: float = 0.0
    loss: float = 0.0  # percent
    reorder: float = 0.0
    rate: float = 0.0  # Mbit/s, 0 = without limit
    queue_ms: float = 200.0
    mtu: int = 1500


def enter(descriptor: int) -> None:
    """Move this process into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def open_end(namespace: str, address: str, mtu: int) -> int:
    """A TUN device `eth0` inside a namespace, readable from outside."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        enter(there)
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"eth0", IFF_TUN | IFF_NO_PI))
        for words in (
            f"link set eth0 up mtu {mtu} txqueuelen 2000",
            f"addr add {address}/24 dev eth0",
            "route add 224.0.0.0/4 dev eth0",
            "route add default dev eth0",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        return tun
    finally:
        enter(home)
        os.close(home)
        os.close(there)


class Relay:
    """Packets under way, and when each is due."""

    def __init__(self, cable: Cable, ends: list[int]) -> None:
        self._cable = cable
        self._ends = ends
        self._free = [0.0, 0.0]  # when the line is idle again, by direction
        self._due: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._chance = random.Random(1).random
        self.cut = False  # pulled: what is let in is gone, what is under way still arrives

    def take(self, end: int, packet: bytes, now: float) -> None:
        """Let a packet in at an end; it may be lost at once."""
        cable, chance = self._cable, self._chance
        if self.cut:
            return
        if cable.loss and chance() < cable.loss / 100:
            return
        at = now
        if cable.rate:
            if self._free[end] - now > cable.queue_ms / 1e3:  # the queue is full: its tail drops
                return
            at = max(now, self._free[end]) + len(packet) * 8 / (cable.rate * 1e6)
            self._free[end] = at
        at += (cable.delay + cable.jitter * chance()) / 1e3
        if cable.reorder and chance() < cable.reorder / 100:
            at += 0.01 + cable.delay / 2e3
        self._count += 1
        heapq.heappush(self._due, (at, self._count, self._ends[1 - end], packet))

    def deliver(self, now: float) -> None:
        """Write what is due."""
        while self._due and self._due[0][0] <= now:
            _, _, out, packet = heapq.heappop(self._due)
            try:
                os.write(out, packet)
            except OSError:  # that end is down or its queue is full: a lost packet
                continue

    def wait(self, now: float) -> float:
        """Milliseconds until something is due, at most a second."""
        return min(1000.0, max(0.0, (self._due[0][0] - now) * 1e3)) if self._due else 1000.0


def carry(cable: Cable, ends: list[int]) -> None:
    """Say that it is ready, then pass packets on until a namespace is gone."""
    relay = Relay(cable, ends)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(relay, "cut", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(relay, "cut", False))
    sys.stdout.write("ok\n")
    sys.stdout.close()
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    checked = time.monotonic()
    while True:
        for descriptor, _ in poll.poll(relay.wait(time.monotonic())):
            for _ in range(BURST):
                try:
                    packet = os.read(descriptor, 65536)
                except BlockingIOError:
                    break
                relay.take(ends.index(descriptor), packet, time.monotonic())
        now = time.monotonic()
        relay.deliver(now)
        if now - checked > CHECK_EVERY:
            checked = now
            if not all(Path(f"/run/netns/{name}").exists() for name, _ in cable.ends):
                return


def main() -> None:
    """Read the settings, build both ends, carry."""
    cable = Cable(**json.load(sys.stdin))
    ends = [open_end(name, address, cable.mtu) for name, address in cable.ends]
    carry(cable, ends)


if __name__ == "__main__":
    main()
