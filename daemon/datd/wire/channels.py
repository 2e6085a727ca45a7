"""The channels of one connection: who calls which feed by which number, and what waits for a feed.

Each end numbers the feeds that it opens itself; the discovery key joins the two numbers.

Source: wire.md section 4.
"""

from datd.errors import ProtocolError
from datd.wire.messages import MAX_CHANNELS

# L-5. An archive's content feed is unknown until its metadata has come; more is a wish of the
# peer's, about which we stay silent, as the reference does.
MAX_UNKNOWN = 16

# L-6 [17 messages of 8 MiB for every channel]. On a channel that the other end has not opened,
# the reference sends a Want and nothing else.
MAX_HELD_MESSAGES = 16
MAX_HELD_SIZE = 64 * 2**10


class ChannelTable:
    """Numbers of both ends, and what the peer said about feeds that we have not opened.

    Attributes:
        routes: The peer's number of each feed that both have opened, to our own.
    """

    def __init__(self) -> None:
        self.routes: dict[int, int] = {}
        self._own: dict[bytes, int] = {}
        self._offered: dict[int, bytes] = {}
        self._numbers_of_peer: dict[bytes, int] = {}
        self._held: dict[int, list[tuple[int, bytes]]] = {}
        self._held_messages = 0
        self._held_size = 0

    def own_number(self, discovery_key: bytes) -> int | None:
        """Our number of a feed, or None if we have not opened it."""
        return self._own.get(discovery_key)

    def is_own(self, number: int) -> bool:
        """Whether we have opened a feed under this number."""
        return 0 <= number < len(self._own)

    def open(self, discovery_key: bytes) -> int:
        """Give a feed that we open the next number.

        Raises:
            ValueError: There is none left.
        """
        number = len(self._own)
        if number == MAX_CHANNELS:
            raise ValueError(f"a connection carries at most {MAX_CHANNELS} feeds")
        self._own[discovery_key] = number
        remote = self._numbers_of_peer.get(discovery_key)
        if remote is not None:
            self.routes[remote] = number
        return number

    def is_offered(self, discovery_key: bytes) -> bool:
        """Whether the peer has opened a feed."""
        return discovery_key in self._numbers_of_peer

    def has(self, remote: int) -> bool:
        """Whether the peer has opened a feed under its number `remote`."""
        return remote in self._offered

    def offer(self, remote: int, discovery_key: bytes) -> None:
        """Note that the peer opens a feed.

        Raises:
            ProtocolError: The number or the feed is in use, or too many feeds are unknown to us.
        """
        if remote in self._offered:
            raise ProtocolError(f"channel {remote} was opened twice")
        if discovery_key in self._numbers_of_peer:
            raise ProtocolError(f"one feed was opened on two channels, the second is {remote}")
        number = self._own.get(discovery_key)
        if number is None and len(self._offered) - len(self.routes) >= MAX_UNKNOWN:
            raise ProtocolError(f"over {MAX_UNKNOWN} feeds that are unknown here")
        self._offered[remote] = discovery_key
        self._numbers_of_peer[discovery_key] = remote
        if number is not None:
            self.routes[remote] = number

    def hold(self, remote: int, kind: int, body: bytes) -> None:
        """Keep a message until its feed is opened.

        Raises:
            ProtocolError: It would be one too many.
        """
        self._held_messages += 1
        self._held_size += len(body)
        if self._held_messages > MAX_HELD_MESSAGES or self._held_size > MAX_HELD_SIZE:
            raise ProtocolError(
                f"{self._held_messages} messages of {self._held_size} bytes about feeds that are "
                f"not open: at most {MAX_HELD_MESSAGES} of {MAX_HELD_SIZE} are kept"
            )
        self._held.setdefault(remote, []).append((kind, body))

    def release(self, discovery_key: bytes) -> list[tuple[int, bytes]]:
        """Hand out what was held for a feed, as (type, body)."""
        remote = self._numbers_of_peer.get(discovery_key, -1)
        held = self._held.pop(remote, [])
        self._held_messages -= len(held)
        self._held_size -= sum(len(body) for _, body in held)
        return held
