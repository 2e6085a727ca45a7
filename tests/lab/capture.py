"""Every packet that a host of a lab sends or receives, as seen on its own interface.

    with lab.capture("h1") as capture:
        ...
    assert not [packet for packet in capture.packets() if key in packet.raw]

A process inside the host, `python -m tests.lab.capture DEVICE FILE`, writes what passes. What the
kernel sends in one piece (UDP_SEGMENT, TCP's own) is one packet here too, longer than the MTU: only
a network card would cut it.
"""

import contextlib
import ipaddress
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.lab.netlab import Lab

ROOT = Path(__file__).parents[2]
# Time (s since 1970), whether the host sent it, length. Then the packet from its IP header on.
_RECORD = struct.Struct("!dBI")
_ALL_PROTOCOLS = 3
_OUTGOING = 4
_STATISTICS = 6
_FORCE_BUFFER = 33
_TIMESTAMPS = 35  # SO_TIMESTAMPNS of 64-bit systems, and what brings it
_NOTES = 64  # bytes, more than that one needs
_BUFFER = 64 * 1024 * 1024
_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 2: "igmp"}
_ETHERTYPES = (0x0800, 0x86DD)
# Seconds that a process with nothing to do needs to end, on a very busy machine.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet.

    Attributes:
        time: Seconds since 1970.
        sent: Whether the host sent it; else it received it.
        protocol: "tcp", "udp", "icmp", …, the number as text for others; "" if it is not IP.
        source: Address it names as its sender.
        destination: Address it is for.
        source_port: 0 for what has no ports, and in later fragments.
        destination_port: The same.
        payload: What UDP or TCP carries; for others what IP carries.
        raw: Everything from the IP header on.
    """

    time: float
    sent: bool
    protocol: str
    source: str
    destination: str
    source_port: int
    destination_port: int
    payload: bytes
    raw: bytes


def read_packet(at: float, sent: bool, raw: bytes) -> Packet:
    """Take a packet apart; what is cut short or unknown keeps what can be read of it."""
    version = raw[0] >> 4 if raw else 0
    if version == 4 and len(raw) >= 20:
        names = str(ipaddress.IPv4Address(raw[12:16])), str(ipaddress.IPv4Address(raw[16:20]))
        number, start = raw[9], (raw[0] & 15) * 4
        later = int.from_bytes(raw[6:8]) & 0x1FFF > 0
        raw = raw[: max(start, int.from_bytes(raw[2:4]) or len(raw))]
    elif version == 6 and len(raw) >= 40:
        names = str(ipaddress.IPv6Address(raw[8:24])), str(ipaddress.IPv6Address(raw[24:40]))
        number, start, later = raw[6], 40, False
        if number == 0 and len(raw) > 48:  # hop-by-hop options, as multicast reports have
            number, start = raw[40], 48 + raw[41] * 8
    else:
        return Packet(at, sent, "", "", "", 0, 0, raw, raw)
    ports, body = (0, 0), raw[start:]
    if number in (6, 17) and not later and len(body) >= 8:
        ports = struct.unpack_from("!HH", body)
        body = body[8:] if number == 17 else body[(body[12] >> 4) * 4 if len(body) > 12 else 0 :]
    protocol = _NAMES.get(number, str(number))
    return Packet(at, sent, protocol, *names, *ports, body, raw)


class Capture:
    """A capture, running inside its `with` block; what it caught can be read then and later."""

    def __init__(self, lab: "Lab", host: str, device: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="netlab-capture-")
        self._file = Path(self._folder.name) / "packets"
        words = [sys.executable, "-m", "tests.lab.capture", device, str(self._file)]
        pipe = subprocess.PIPE
        self._process = lab.popen(host, words, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
        self._last: list[Packet] | None = None
        if self._hear() != "ready":
            _, why = self._process.communicate(timeout=_PATIENCE)
            self._folder.cleanup()
            raise OSError(f"nothing can be captured on {device} of {host}: {why[-300:]}")

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return str(self._process.stdout.readline()).strip()

    def packets(self) -> list[Packet]:
        """All so far, in the order in which they passed."""
        return self._last if self._last is not None else list(_records(self._file))

    def wait_for(self, fits: Callable[[Packet], bool], timeout: float = 60) -> Packet:
        """The first packet that fits, now or soon.

        Raises:
            AssertionError: None came in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = self.packets()
            for packet in seen:
                if fits(packet):
                    return packet
            if time.monotonic() > deadline:
                raise AssertionError(f"no such packet among {len(seen)} in {timeout:g} s")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, once everything that has passed is read.

        Raises:
            AssertionError: Packets were missed, so that nothing follows from what was seen.
        """
        if self._last is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        said, why = self._process.communicate(timeout=_PATIENCE)
        self._last = list(_records(self._file))
        self._folder.cleanup()
        if not said or json.loads(said)["missed"]:
            raise AssertionError(f"the capture missed packets: {said or why[-300:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def _records(file: Path) -> Iterator[Packet]:
    data = memoryview(file.read_bytes())
    while len(data) >= _RECORD.size:
        at, sent, length = _RECORD.unpack_from(data)
        end = _RECORD.size + length
        if end > len(data):
            return  # it is being written right now
        yield read_packet(at, bool(sent), bytes(data[_RECORD.size : end]))
        data = data[end:]


def record(device: str, file: Path) -> None:
    """Write what passes on a device until SIGTERM; then tell how many packets were missed."""
    wake_up, bell = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: bell.send(b"."))
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock,
        file.open("wb", buffering=1 << 20) as out,
    ):
        sock.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, _BUFFER)
        # The kernel's times: this process may have its turn late, on a busy machine.
        sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        sock.bind((device, _ALL_PROTOCOLS))
        _say("ready")
        ending = False
        while not ending:
            ending = _wait(sock, wake_up)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    raw, notes, _, (_, ethertype, kind, *_) = sock.recvmsg(1 << 17, _NOTES)
                    if ethertype in _ETHERTYPES:
                        at = _moment(notes)
                        out.write(_RECORD.pack(at, kind == _OUTGOING, len(raw)) + raw)
            out.flush()
        counts = sock.getsockopt(263, _STATISTICS, 8)
        _say(json.dumps({"missed": struct.unpack("=II", counts)[1]}))


def _moment(notes: list[tuple[int, int, bytes]]) -> float:
    """When the kernel saw a packet, in seconds since 1970."""
    for level, kind, value in notes:
        if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMPS):
            seconds, nanoseconds = struct.unpack("@ll", value)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def _wait(sock: socket.socket, wake_up: socket.socket) -> bool:
    """Sleep until something passed; says whether to end after it."""
    ready, _, _ = select.select([sock, wake_up], [], [])
    return wake_up in ready


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
