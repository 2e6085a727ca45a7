"""The interface of everything that finds peers of a key."""

from collections.abc import Callable
from typing import Protocol

from datd.types import Address

OnPeer = Callable[[bytes, Address, Address], None]
"""Told of each peer found: the discovery key that was joined (32 bytes), where the peer listens,
and who said so. The same peer may be told again and again."""

# The first 20 bytes of a discovery key are its name on every network (discovery.md section 1).
NAME_SIZE = 20


class DiscoveryNetwork(Protocol):
    """One way to find the peers of a key, and to be found. Keys are discovery keys of 32 bytes."""

    @property
    def name(self) -> str:
        """What it is called as the source of a peer, such as "mdns"."""

    @property
    def lookups_per_second(self) -> float:
        """Its budget: how many names it may be asked to look up in a second."""

    @property
    def interval(self) -> float:
        """Seconds within which every name is looked up, and announced, again."""

    async def start(self, on_peer: OnPeer, port: int) -> None:
        """Begin. A network that is not there (yet) is no error: it is tried again.

        Args:
            on_peer: Called for each peer of a joined key, from the event loop.
            port: The TCP port that is announced.
        """

    def join(self, discovery_key: bytes, announce: bool) -> None:
        """Take part: hear of peers of this key and, with `announce`, be found under it.

        Asks nothing yet. Joining again changes `announce`.
        """

    def leave(self, discovery_key: bytes) -> None:
        """Forget a key, and withdraw what was announced under it, if the network knows how."""

    def lookup(self, discovery_key: bytes) -> None:
        """One round for a joined key, soon: ask for its peers, and announce it if it is to be."""

    async def close(self) -> None:
        """Withdraw what was announced, for a second at most, and end: nothing is told any more."""
