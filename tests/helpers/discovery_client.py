"""One of our discovery networks as a program of its own, for hosts of a lab.

`python -m tests.helpers.discovery_client dns|mdns KEY [--announce] [--port P] [--server S] …` tells
what it finds in JSON lines, as the original programs of the lab do, and withdraws on SIGTERM.
"""

import argparse
import asyncio
import json
import random
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from datd.discovery.base import DiscoveryNetwork
from datd.discovery.dns import DnsDiscovery
from datd.discovery.mdns import MulticastDns
from datd.discovery.public import PublicAddress
from datd.types import Address
from datd.udp.socket import UdpSocket
from tests.helpers.lab import Lab
from tests.helpers.reference import Program


@contextmanager
def running_client(lab: Lab, host: str, *arguments: object) -> Iterator[Program]:
    """The program in a host of a lab, for the time of a `with`."""
    words = [sys.executable, "-m", "tests.helpers.discovery_client", *arguments]
    with Program.start([*lab.prefix(host), *words], f"our client on {host}") as program:
        program.wait_for("ready")
        yield program


def _say(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


async def _run(given: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    udp, public = UdpSocket(), PublicAddress()
    public.watch(lambda: _say("seen", host=public.host, port=public.port))
    port = await udp.listen("0.0.0.0", given.port)
    network: DiscoveryNetwork
    if given.network == "mdns":
        network = MulticastDns(secret=secrets.token_bytes(32), clock=loop.time)
    else:
        network = DnsDiscovery(
            udp,
            servers=given.server,
            public=public,
            clock=loop.time,
            choose=random.SystemRandom().randrange,
        )

    def found(key: bytes, address: Address, told_by: Address) -> None:
        _say("peer", host=address.host, port=address.port, by=told_by.host)

    await network.start(found, port)
    _say("ready", port=port)
    key = bytes.fromhex(given.key)
    network.join(key, given.announce)
    network.lookup(key)
    await over.wait()
    if isinstance(network, DnsDiscovery):
        for server in network.servers:
            _say("server", **asdict(server))
    await network.close()
    _say("closed")
    udp.close()


if __name__ == "__main__":
    _parser = argparse.ArgumentParser()
    _parser.add_argument("network", choices=["dns", "mdns"])
    _parser.add_argument("key", help="discovery key, 64 hex digits")
    _parser.add_argument("--announce", action="store_true")
    _parser.add_argument("--port", type=int, default=3282)
    _parser.add_argument("--server", action="append", default=[])
    asyncio.run(_run(_parser.parse_args()))
