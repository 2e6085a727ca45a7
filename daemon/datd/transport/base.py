"""The interfaces of everything that carries the wire protocol: a byte stream, and who makes them.

A transport adds no bytes of its own: no handshake, no length, no encryption.
"""

from collections.abc import Callable
from typing import Protocol

from datd.types import Address

# What may lie unread in one stream. Beyond it the stream stops receiving, so that a peer who sends
# faster than we deal with it fills the network's buffers and not our memory.
MAX_UNREAD = 256 * 1024
# A writer waits above the high mark until the peer took all but the low one.
HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024


class Stream(Protocol):
    """A reliable, ordered stream of bytes in both directions, with half-close."""

    @property
    def kind(self) -> str:
        """Name of the transport, such as "tcp"."""

    @property
    def remote(self) -> Address:
        """Where the other side is, as this host sees it."""

    async def read(self) -> bytes | bytearray:
        """Give what has arrived, waiting for the first byte; at most 256 KiB, empty at the end.

        The caller may keep and change what it gets. One reader at a time.

        Raises:
            OSError: The connection broke. What arrived before is given first.
        """

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, and wait while more than 256 KiB are on their way out.

        Still works after the other side ended.

        Raises:
            OSError: The connection is closed or broke.
        """

    def close(self) -> None:
        """End in order: what was written is still sent, nothing is read any more."""

    def abort(self) -> None:
        """End at once; what was not sent yet is lost."""


class Transport(Protocol):
    """Makes streams, by calling others and by being called."""

    @property
    def kind(self) -> str:
        """Name of the transport, such as "tcp"."""

    async def listen(self, host: str, port: int, on_stream: Callable[[Stream], None]) -> int:
        """Take calls.

        Args:
            host: A numeric address of this host; `0.0.0.0` and `::` both mean all of them, IPv6
                included.
            port: The preferred port. If it is taken, any free one is.
            on_stream: Called with each stream that comes in; it may abort it.

        Returns:
            The port that was taken.

        Raises:
            OSError: The host cannot be listened on at all.
        """

    async def dial(self, address: Address) -> Stream:
        """Call somebody; how long to wait is the caller's choice.

        Cancelling leaves nothing behind.

        Raises:
            OSError: Nobody answers there.
        """

    async def close(self) -> None:
        """Take no more calls. Streams that exist live on."""
