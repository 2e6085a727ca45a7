"""What a conversation with a peer needs of the connection it goes over, whoever made that."""

from collections.abc import Callable, Hashable
from typing import Protocol

from datd.swarm.peer import Peer
from datd.transport.base import Stream
from datd.transport.bucket import Account


class Line(Hashable, Protocol):
    """A connection: the swarm's, or one with a web source.

    Attributes:
        cut: Ends it from outside.
        counted: Who owes what comes, if that is counted where it arrives; None: it is not.
    """

    cut: Callable[[], object]
    counted: Account | None

    @property
    def stream(self) -> Stream:
        """The bytes."""

    @property
    def discovery_key(self) -> bytes | None:
        """32 bytes naming the archive; for callers None until `identify`."""

    @property
    def peer(self) -> Peer | None:
        """What is known of the other side; None until the archive is known."""

    def identify(self, discovery_key: bytes) -> None:
        """The caller's first message named an archive that is hosted here."""

    def handshaken(self, remote_id: bytes) -> None:
        """The other side gave its id: 32 bytes, or none."""

    def delivered(self, blocks: int, size: int = 0) -> None:
        """It sent so many blocks, and bytes in them, that verify."""

    def served(self) -> None:
        """It is sent blocks."""

    def distrust(self, feed: bytes, index: int) -> None:
        """Remember that it sent a block of a feed wrong."""
