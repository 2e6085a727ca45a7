"""A connection with a web source, as the hub sees it: marks and faults go to the source's record.

The swarm knows nothing of it: it is neither found, nor dialled, nor counted there.
"""

from collections.abc import Callable

from datd.swarm.peer import Mark, Peer, State
from datd.swarm.roster import MAX_DISTRUSTED, Refused
from datd.transport.base import Stream
from datd.transport.bucket import Account


class WebLine:
    """One connection; a `Line`.

    Attributes:
        peer: What is known of the source.
        cut: Ends it from outside.
        counted: Who owes what comes from the source; None: it is counted as it is read.
    """

    def __init__(
        self,
        stream: Stream,
        peer: Peer,
        *,
        own_id: bytes,
        clock: Callable[[], float],
        counted: Account | None = None,
    ) -> None:
        """Begin.

        Args:
            stream: The near end.
            peer: The source's record.
            own_id: 32 bytes that name this process.
            clock: Seconds.
            counted: Who owes what comes from the source, if that is counted elsewhere.
        """
        self.counted = counted
        self.stream = stream
        self.peer: Peer | None = peer
        self.discovery_key: bytes | None = peer.name
        self.cut: Callable[[], object] = stream.abort
        self._source = peer
        self._own_id = own_id
        self._clock = clock
        peer.state, peer.connection = State.CONNECTED, self
        peer.kind, peer.initiator, peer.connected_at = stream.kind, True, clock()

    def identify(self, discovery_key: bytes) -> None:
        raise AssertionError("a web source does not call")

    def handshaken(self, remote_id: bytes) -> None:
        if remote_id == self._own_id:
            raise Refused("the other end is this daemon itself")
        self._source.marks[Mark.HANDSHAKES] += 1
        self._source.last_seen = self._source.last_success = self._clock()

    def delivered(self, blocks: int, size: int = 0) -> None:
        self._source.useful = True
        self._source.marks[Mark.GOOD_BLOCKS] += blocks
        self._source.marks[Mark.GOOD_BYTES] += size
        self._source.last_seen = self._source.last_success = self._clock()

    def served(self) -> None:
        return None

    def distrust(self, feed: bytes, index: int) -> None:
        if len(self._source.distrusted) < MAX_DISTRUSTED:
            self._source.distrusted.add((feed, index))

    def over(self) -> None:
        """The connection has ended."""
        self._source.state, self._source.connection = State.WAITING, None
        self._source.kind = self._source.initiator = self._source.connected_at = None
