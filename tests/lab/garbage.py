"""Throws random datagrams at a port: `python -m tests.lab.garbage HOST PORT RATE SEED`.

A part of them begins as the datagrams begin that share datd's socket, so that more than the first
look is tried. They come from one port, some of them empty, some too long for one packet.
"""

import random
import socket
import sys
import time
from collections.abc import Iterator


def datagrams(seed: int) -> Iterator[bytes]:
    """Endless garbage, the same for a seed each time."""
    chance = random.Random(seed)
    starts = (
        lambda: b"",
        lambda: bytes([chance.choice((0x01, 0x11, 0x21, 0x31, 0x41)), chance.randrange(3)]),
        lambda: b"d" + chance.choice((b"1:", b"2:ip6:", b"9999999999:", b"i-", b"d" * 900)),
        lambda: chance.randbytes(2) + b"\x00\x00\x00\x01" + bytes(6),
        lambda: chance.randbytes(2) + b"\x84\x00" + chance.randbytes(8) + b"\xc0\x0c",
    )
    while True:
        length = chance.choice((0, 1, 11, 19, 20, 60, 300, 1400, 5000))
        yield chance.choice(starts)() + chance.randbytes(length)


def main(host: str, port: int, rate: float, seed: int) -> None:
    """Throw until ended, or until the host is gone."""
    with socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        for datagram in datagrams(seed):
            sock.sendto(datagram, (host, port))
            time.sleep(1 / rate)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
