"""One peer of one archive: what is known of it, and how it is shown. Values only."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum

from datd.types import Address

MANUAL = "manual"
INBOUND = "inbound"
# Other sources are the names of discovery networks, such as "mdns".


class State(StrEnum):
    """Where a peer stands. Only the first two take room in the limits on connections."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    BANNED = "banned"
    COVERED = "covered"  # reached through another connection that either side opened first
    GONE = "gone"


class Mark(StrEnum):
    """Behaviour that is counted."""

    HANDSHAKES = "handshakes"
    GOOD_BLOCKS = "good_blocks"
    BAD_BLOCKS = "bad_blocks"
    BAD_SIGNATURES = "bad_signatures"
    PROTOCOL_ERRORS = "protocol_errors"
    FAILED_DIALS = "failed_dials"


@dataclass(slots=True, eq=False)
class Peer:
    """A candidate for dialling, or somebody who called.

    Attributes:
        name: 32-byte discovery key of the archive.
        address: Where it listens; for a caller, where it calls from.
        source: `MANUAL`, `INBOUND` or the name of a discovery network.
        failures: Dials and short connections in a row that came to nothing.
        faults: Connections in a row that ended through its fault.
        ticket: Its valid entry in the dial queue, 0 if there is none.
        remote_id: As it named itself, once hands were shaken.
        handshaken_at: When that was, on this connection.
        covers: Other addresses of the same peer, silent while this connection lives.
        distrusted: Blocks (feed, index) that it sent wrong.
        dropped: Why the last connection that ended through its fault did so.
    """

    name: bytes
    address: Address
    source: str
    state: State = State.WAITING
    failures: int = 0
    faults: int = 0
    ticket: int = 0
    remote_id: bytes = b""
    connection: Hashable = None
    kind: str | None = None
    initiator: bool | None = None
    connected_at: float | None = None
    handshaken_at: float | None = None
    covers: list["Peer"] = field(default_factory=list)
    distrusted: set[tuple[bytes, int]] = field(default_factory=set)
    marks: Counter[str] = field(default_factory=Counter)
    dropped: str | None = None
    last_error: str | None = None

    @property
    def busy(self) -> bool:
        """Whether it takes part in the limits on connections."""
        return self.state in (State.CONNECTING, State.CONNECTED)


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer as it is told to others; a copy.

    Attributes:
        address: Where it listens, or calls from if nothing better is known.
        source: Who told of it: "manual", "inbound" or the name of a discovery network.
        state: "connected", "connecting", "waiting" (to be dialled again), "banned" or "gone".
        marks: Counts of good and bad behaviour by name.
        dropped: Why the last connection that ended through its fault did so.
        last_error: Why the last dial or connection came to nothing.
        kind: Transport while connected.
        initiator: Whether we dialled; None while not connected.
        connected_at: Seconds of the swarm's clock.
        connection: The `Connection` while there is one.
    """

    address: Address
    source: str
    state: str
    marks: dict[str, int]
    dropped: str | None
    last_error: str | None
    kind: str | None
    initiator: bool | None
    connected_at: float | None
    connection: Hashable

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self.state == State.CONNECTED

    @classmethod
    def of(cls, peer: Peer) -> "PeerView":
        """Show a peer. A caller that is known to listen somewhere is shown with that address."""
        shown = peer.covers[0] if peer.covers and peer.source == INBOUND else peer
        return cls(
            address=shown.address,
            source=shown.source,
            state=peer.state.value,
            marks=dict(peer.marks),
            dropped=peer.dropped or shown.dropped,
            last_error=peer.last_error or shown.last_error,
            kind=peer.kind,
            initiator=peer.initiator,
            connected_at=peer.connected_at,
            connection=peer.connection,
        )
