"""A plain TCP transfer, two programs of one connection:

python -m tests.benchmarks.tcp_flow send HOST PORT CONGESTION
python -m tests.benchmarks.tcp_flow sink HOST PORT SECONDS

The sender sends by the rule of that name, such as cubic. The sink takes for so many seconds, then
tells how many bytes it had at which moment of the machine's steady clock.
"""

import json
import socket
import sys
import time

# Seconds from one note to the next.
TICK = 0.1


def sink(host: str, port: int, seconds: float) -> None:
    """Take one connection, note, say, end."""
    with socket.create_server((host, port)) as server:
        say("listening")
        connection, _ = server.accept()
    with connection:
        begin = time.monotonic()
        say("connection")
        received = 0
        notes = [(begin, 0)]
        while (now := time.monotonic()) < begin + seconds:
            received += len(connection.recv(1 << 16))
            if now >= notes[-1][0] + TICK:
                notes.append((now, received))
    say("counted", notes=notes)


def send(host: str, port: int, congestion: str) -> None:
    """Send until the other side has enough."""
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        try:
            while True:
                connection.sendall(bytes(1 << 16))
        except OSError:
            return


def say(event: str, **more: object) -> None:
    """A line for the benchmark."""
    sys.stdout.write(f"{json.dumps({'event': event, **more})}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    role, at, number, *more = sys.argv[1:]
    if role == "sink":
        sink(at, int(number), *map(float, more))
    else:
        send(at, int(number), *more)
