"""The command `datd dht-node`: a node of a Mainline DHT by itself, without archives.

Socket, file and log around `discovery.dht.network`; it joins no name and announces nothing.
"""

import argparse
import asyncio
import errno
import logging
import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from datd import service
from datd.discovery.dht import peer_store
from datd.discovery.dht.network import DhtDiscovery
from datd.discovery.dht.service import ServiceLimits
from datd.discovery.public import PublicAddress
from datd.errors import ConfigError, StorageError
from datd.storage.disk import replace_file
from datd.types import Address
from datd.udp.socket import UdpSocket

log = logging.getLogger(__name__)

PORT = 6881
# How often the log is told how things are, if anything happened.
_TELL_INTERVAL = 900.0
_LIMITS = ServiceLimits()
# A state has 13 KB; whatever is much longer is another file.
_MAX_STATE = 65536

_ABOUT = """
Be a node of a Mainline DHT: answer whoever looks for nodes or peers, and keep what is announced for
45 minutes. Dat programs (the original `dat` too), datd and BitTorrent programs find each other
through such nodes. Archives do not pass through it, and it never learns their links.
"""

_EXAMPLES = f"""
examples:
  datd dht-node                                      the first node of a private network
  datd dht-node --bootstrap dat.example.org:6881     one more node of that network
  datd dht-node --state /var/lib/datd-dht/state      comes back with its id and nodes

Programs use it when told so:
  datd --dht-bootstrap dat.example.org:{PORT}
  dat share --dht.bootstrap=dat.example.org:{PORT}

So that nobody can use it to flood others, it answers sparingly. In a private network where many
programs start at the same time, give it more: --queries 100 --bytes 1000000
SIGUSR1 has it tell its numbers on the log.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = _ABOUT.strip()
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--host",
        default="::",
        metavar="ADDRESS",
        help="address to listen on (all, IPv4 and IPv6)",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"UDP port ({PORT})")
    parser.add_argument(
        "--bootstrap",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="a node of the network to join (none: wait to be asked); may be given again",
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="where its id and the nodes it knows are kept"
    )
    parser.add_argument(
        "--queries",
        type=float,
        default=_LIMITS.queries_per_second,
        metavar="N",
        help=f"answered to one address in a second ({_LIMITS.queries_per_second:g})",
    )
    parser.add_argument(
        "--bytes",
        type=float,
        default=_LIMITS.bytes_per_second,
        metavar="N",
        help=f"sent as answers in a second, in all ({_LIMITS.bytes_per_second:g})",
    )
    parser.add_argument(
        "--peers",
        type=int,
        default=peer_store.MAX_PEERS,
        metavar="N",
        help=f"announced peers that are kept ({peer_store.MAX_PEERS})",
    )


async def run(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: An argument is wrong.
        StorageError: The state file cannot be read.
        OSError: The port is taken.
    """
    loop = asyncio.get_running_loop()
    udp = UdpSocket()
    # A slow disk must not keep it from answering.
    writer = ThreadPoolExecutor(1, "state")

    def save(state: bytes) -> None:
        writer.submit(_write, given.state, state)

    node = DhtDiscovery(
        udp,
        bootstrap=given.bootstrap,
        public=PublicAddress(),
        clock=loop.time,
        choose=random.Random(secrets.randbits(64)).randrange,
        state=_read(given.state),
        save=save,
        limits=_limits(given),
    )
    try:
        await _listen(udp, given)
        await node.start(_heard_nothing, udp.port)
        await service.serve(
            "node of a DHT",
            [Address(given.host, udp.port)],
            clock=partial(_keep_telling, node),
            tell=partial(_tell, node),
        )
    finally:
        await node.close()
        udp.close()
        await asyncio.to_thread(writer.shutdown)


async def _listen(udp: UdpSocket, given: argparse.Namespace) -> None:
    try:
        host = str(ip_address(given.host))
    except ValueError:
        raise ConfigError(f"--host {given.host}: not a numeric address") from None
    if not 0 <= given.port < 65536:
        raise ConfigError(f"--port {given.port}: not between 0 (any free one) and 65535")
    try:
        port = await udp.listen(host, given.port)
    except PermissionError:
        raise ConfigError(f"--port {given.port}: only a privileged program may take it") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"--host {host}: this machine has no such address") from None
        raise
    # The daemon is content with any port; whoever is told of a first node needs the one he knows.
    if given.port not in (0, port):
        text = f"UDP port {given.port} is taken (ss -ulpn shows by whom): end that program"
        raise OSError(errno.EADDRINUSE, text)


def _limits(given: argparse.Namespace) -> ServiceLimits:
    for name, value in (("queries", given.queries), ("bytes", given.bytes), ("peers", given.peers)):
        if not 1 <= value <= 1e9:
            raise ConfigError(f"--{name} {value:g}: not between 1 and 1,000,000,000")
    return ServiceLimits(given.queries, given.bytes, given.peers)


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return file.read(_MAX_STATE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path | None, state: bytes) -> None:
    if path is None:
        return
    try:
        replace_file(path, state, mode=0o600)
    except StorageError as error:
        # It goes on without: a node that has lost its memory is a new node.
        log.error("the state is not kept: %s", error)


def _heard_nothing(discovery_key: bytes, address: Address, told_by: Address) -> None:
    raise AssertionError(f"a peer of {discovery_key.hex()}, which nobody joined")


async def _keep_telling(node: DhtDiscovery) -> None:
    told = 0
    while True:
        await asyncio.sleep(_TELL_INTERVAL)
        if node.statistics["received"] != told:
            told = node.statistics["received"]
            _tell(node)


def _tell(node: DhtDiscovery) -> None:
    log.info("%s", ", ".join(f"{name} {count}" for name, count in node.statistics.items()))
