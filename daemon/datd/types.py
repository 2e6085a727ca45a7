"""Small value types that every floor uses."""

from typing import NamedTuple, NewType

NodeIndex = NewType("NodeIndex", int)
"""In-order position in a feed's tree: leaf = 2 x block. Block indexes are plain int, counted
from 0; the type checker refuses them where a node is expected."""


class Node(NamedTuple):
    """One hash of a feed's tree.

    Attributes:
        index: Position in the tree, a node number.
        hash: 32 bytes.
        size: Data bytes below the node.
    """

    index: int  # type: ignore[assignment]  # hides the method tuple.index, which nobody needs here
    hash: bytes
    size: int


class Seek(NamedTuple):
    """A byte of a feed whose block is to be found.

    Attributes:
        position: The byte, counted from the feed's start; never 0, which needs no seeking.
        guess: The block that it is likely to be in.
        first: The first block that it can be in.
        stop: The block behind the last one.
    """

    position: int
    guess: int
    first: int
    stop: int


class Address(NamedTuple):
    """Where a peer listens or calls from.

    Attributes:
        host: Dotted IPv4 or IPv6 text, no name.
        port: 1 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
