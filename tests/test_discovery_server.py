"""The command around the discovery server, as a process that is spoken to over loopback."""

import argparse
import asyncio
import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from datd import discovery_server
from datd.discovery import dns_message
from datd.discovery.dns_message import Message
from datd.errors import ConfigError
from datd.types import Address
from tests.helpers.daemon import START_SECONDS
from tests.helpers.pieces import missing
from tests.helpers.ports import free_ports
from tests.helpers.processes import memory
from tests.helpers.reference import PATIENCE
from tests.helpers.servers import Server, running_discovery_server
from tests.helpers.virtual_time import in_virtual_time

COMMAND = (sys.executable, "-m", "datd", "discovery-server")
DOMAIN = "dat.local"
NAME = bytes(range(20))
PROBE = dns_message.encode_probe(7, DOMAIN)
# On loopback.
running = partial(running_discovery_server, None, "")


class Host:
    """Somebody with a UDP socket of his own address."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(PATIENCE)

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    def hear(self) -> tuple[Message, int]:
        """The next datagram, and the port it came from."""
        datagram, (_, port) = self.socket.recvfrom(2000)
        message = dns_message.decode(datagram, DOMAIN)
        assert message is not None
        return message, port

    def ask(self, datagram: bytes, port: int) -> Message:
        self.socket.sendto(datagram, ("127.0.0.1", port))
        message, answered_from = self.hear()
        assert answered_from == port
        return message

    def announce(self, port: int, server: int) -> tuple[Address, ...]:
        token = self.ask(PROBE, server).records[0].text.token
        datagram = dns_message.encode_announce(7, NAME, DOMAIN, token=token, port=port)
        return self.ask(datagram, server).records[0].text.peers


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def test_it_answers_ends_when_asked_and_tells_its_numbers(server: Server):
    with Host() as host:
        (record,) = host.ask(PROBE, server.ports[0]).records
        assert (record.text.host, record.text.port) == ("127.0.0.1", host.port)
        assert "0 peers of 0 names, 0 subscriptions; queries 1, answers 1" in server.numbers()
        host.announce(3282, server.ports[0])
        assert "1 peers of 1 names, 1 subscriptions; queries 3, answers 3" in server.numbers()
    assert server.stop() == 0


def test_t31_a_datagram_that_is_too_long_is_not_read_as_a_shorter_one(server: Server):
    with Host() as host:
        assert host.ask(PROBE.ljust(dns_message.MAX_DATAGRAM, b"\0"), server.ports[0]).records
        host.socket.sendto(PROBE.ljust(2000, b"\0"), ("127.0.0.1", server.ports[0]))
        told = server.wait_for_numbers("queries 2")
        assert "answers 1," in told
        assert "unreadable 1," in told


def test_all_ports_are_one_server_and_pushes_leave_where_the_subscriber_asked():
    ports = free_ports(2)
    arguments = [word for port in ports for word in ("--port", str(port))]
    with running(*arguments) as server, Host() as one, Host() as two:
        assert server.ports == ports
        assert one.announce(3282, ports[1]) == ()
        assert two.announce(4444, ports[0]) == (Address("127.0.0.1", 3282),)
        push, port = one.hear()
        assert port == ports[1]
        assert [record.peer for record in push.records] == [Address("127.0.0.1", 4444)]
        # Nobody acknowledges it: it comes again.
        assert one.hear() == (push, port)


def test_every_datagram_of_a_burst_is_answered(server: Server):
    with contextlib.ExitStack() as hosts:
        askers = [hosts.enter_context(Host(f"127.0.2.{n}")) for n in range(1, 151)]
        for asker in askers:
            asker.socket.sendto(PROBE, ("127.0.0.1", server.ports[0]))
        assert {asker.hear()[0].records[0].text.host for asker in askers} == {
            f"127.0.2.{n}" for n in range(1, 151)
        }


def answers(host: Host, port: int) -> bool:
    try:
        return bool(host.ask(PROBE, port).records)
    except TimeoutError:
        return False


def test_t31_a_flood_of_rubbish_changes_nothing(server: Server):
    chance = random.Random(5)
    with Host() as host, Host("127.0.3.1") as other:
        for _ in range(3000):
            size = chance.choice((0, 5, 12, 30, 200, 1501, 9000))
            host.socket.sendto(chance.randbytes(size), ("127.0.0.1", server.ports[0]))
        deadline = time.monotonic() + PATIENCE
        other.socket.settimeout(0.5)  # the flood may have filled the server's buffer
        while not answers(other, server.ports[0]):
            assert time.monotonic() < deadline
        resident = memory(server.program.process.pid)
    assert "0 peers of 0 names, 0 subscriptions" in server.numbers()
    assert resident < 120_000_000


def test_the_service_manager_hears_that_it_is_ready_and_that_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running() as server:
            assert manager.recv(100) == b"READY=1"
            server.program.process.send_signal(signal.SIGINT)
            assert manager.recv(100) == b"STOPPING=1"
            assert server.program.wait_for_end() == 0


def test_the_log_hears_now_and_then_if_anything_happened(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "datd")

    def told() -> list[str]:
        return [one for one in caplog.messages if "subscriptions" in one]

    async def story() -> None:
        given = parsed("--host", "127.0.0.1", "--port", "0")
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(discovery_server.run(given))
            await asyncio.sleep(3600)
            assert told() == []
            with Host() as host:
                (begun,) = [one for one in caplog.messages if one.startswith("listening on UDP")]
                port = int(begun.rpartition(":")[2])
                await answer(host, PROBE, port)
                token = (await answer(host, PROBE, port)).records[0].text.token
                hosting = dns_message.encode_announce(7, NAME, DOMAIN, token=token, port=3282)
                await answer(host, hosting, port)
            await asyncio.sleep(3601)
            serving.cancel()

    in_virtual_time(story())
    # The peer was gone before that, though nobody had asked for it.
    (line,) = told()
    assert line.startswith("0 peers of 0 names, 0 subscriptions; queries 3, answers 3, announced 1")


async def answer(host: Host, datagram: bytes, port: int) -> Message:
    """What a server of this loop answers; virtual time stands still until that is there."""
    host.socket.sendto(datagram, ("127.0.0.1", port))
    deadline = time.monotonic() + PATIENCE
    while not select.select([host.socket], [], [], 0.001)[0]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    return host.hear()[0]


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    discovery_server.add_arguments(parser)
    return parser.parse_args(arguments)


def failed(*arguments: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    done = subprocess.run(
        [*prefix, *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_port_that_is_taken_is_named_with_what_to_do():
    with Host() as other:
        port = other.port
        status, said = failed("--host", "127.0.0.1", "--port", str(port))
    assert status == 1
    assert f"127.0.0.1:{port} is taken" in said
    assert "ss -ulpn" in said


def test_a_port_that_is_not_permitted_is_named_with_what_to_do():
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not first.exists() or int(first.read_text()) <= 53:
        missing("this system lets everybody use port 53")
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            missing("setpriv is not here: apt-get install util-linux")
        prefix = ("setpriv", "--bounding-set", "-net_bind_service")
    status, said = failed("--host", "127.0.0.1", "--port", "53", prefix=prefix)
    assert status == 78
    assert "CAP_NET_BIND_SERVICE" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--host", "dat.example.org"], "--host dat.example.org"),
        (["--host", "::1"], "--host ::1"),
        (["--host", "192.0.2.77", "--port", "0"], "--host 192.0.2.77"),
        (["--port", "65536"], "--port 65536"),
        (["--domain", "dat"], "--domain dat"),
        (["--domain", "a.dat.local"], "--domain a.dat.local"),
        (["--domain", "x" * 64 + ".local"], "--domain x"),
        (["--ttl", "0"], "--ttl 0"),
        (["--ttl", "nan"], "--ttl nan"),
        (["--names", "0"], "--names 0"),
        (["--peers", "-1"], "--peers -1"),
    ],
)
async def test_wrong_arguments_are_named(arguments: list[str], named: str):
    with pytest.raises(ConfigError, match=named):
        await discovery_server.run(parsed(*arguments))


def test_help_shows_examples():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "datd discovery-server --port 5300 --port 53" in done.stdout
    assert sys.executable not in done.stdout
