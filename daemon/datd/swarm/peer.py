"""One peer of one archive: what is known of it, and how it is shown. Values only."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum

from datd.swarm.limits import GOOD_FOR
from datd.types import Address

MANUAL = "manual"
INBOUND = "inbound"
REMEMBERED = "remembered"  # known from an earlier life of this daemon, by nobody who can be named
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

    DIALS = "dials"
    HANDSHAKES = "handshakes"
    GOOD_BLOCKS = "good_blocks"
    BAD_BLOCKS = "bad_blocks"
    BAD_SIGNATURES = "bad_signatures"
    PROTOCOL_ERRORS = "protocol_errors"
    FAILED_DIALS = "failed_dials"
    GOOD_BYTES = "good_bytes"
    TIMEOUTS = "timeouts"  # dials without an answer, and connections that fell silent
    DUPLICATES = "duplicates"  # connections that had to give way to another one with the same peer


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A peer that was good, as it is remembered over restarts.

    Attributes:
        address: Where it listens.
        kind: The transport that reached it, such as "tcp".
        last_success: When it last spoke Dat with us, in seconds of the swarm's clock; what an
            earlier process noted lies before the start of that clock, and may be negative.
        sources: Who told of it.
        useful: Whether it ever gave a block that verifies.
    """

    address: Address
    kind: str
    last_success: float
    sources: tuple[str, ...] = ()
    useful: bool = False


@dataclass(slots=True, eq=False)
class Peer:
    """A candidate for dialling, or somebody who called.

    Attributes:
        name: 32-byte discovery key of the archive.
        address: Where it listens; for a caller, where it calls from.
        source: `MANUAL`, `INBOUND` or the name of a discovery network.
        told_by: The host that told of it first, if a network did.
        failures: Dials and short connections in a row that came to nothing.
        faults: Connections in a row that ended through its fault.
        ticket: Its valid entry in the dial queue, 0 if there is none.
        remote_id: As it named itself, once hands were shaken.
        handshaken_at: When that was, on this connection.
        covers: Other addresses of the same peer, silent while this connection lives.
        distrusted: Blocks (feed, index) that it sent wrong.
        dropped: Why the last connection that ended through its fault did so.
        sources: Everybody who told of it: `source`, and other networks.
        urgent: Whether the next dial goes before those of others.
        hastened_at: When its next dial was last brought forward because a network named it.
        spare: Whether it waits for a place that no archive without a connection wants.
        probed_at: Since when it is dialled to see whether the network is back; None if it is not.
        useful: Whether it ever gave a block that verifies.
        first_seen: When it was heard of.
        last_seen: When a network named it, or it spoke, last.
        last_success: When it last spoke Dat with us; None unless it is known as good.
        worked: The transport that reached it last.
        tried: How each transport fared last: "connected", or why not.
    """

    name: bytes
    address: Address
    source: str
    told_by: str = ""
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
    sources: list[str] = field(default_factory=list)
    urgent: bool = False
    spare: bool = False
    hastened_at: float | None = None
    probed_at: float | None = None
    useful: bool = False
    first_seen: float | None = None
    last_seen: float | None = None
    last_success: float | None = None
    worked: str = ""
    tried: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named_by(self.source)

    def named_by(self, source: str) -> None:
        """Note one more who told of it."""
        if source not in self.sources:
            self.sources.append(source)

    def good(self, now: float) -> bool:
        """Whether it spoke Dat with us, not too long ago."""
        return self.last_success is not None and now - self.last_success < GOOD_FOR

    @property
    def idle(self) -> bool:
        """Whether neither a dial nor a connection has to do with it."""
        return self.state in (State.WAITING, State.BANNED, State.GONE)

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
        sources: Everybody who told of it.
        first_seen: When it was heard of, in seconds of the swarm's clock, like all times here.
        last_seen: When a network named it, or it spoke, last.
        last_success: When it last spoke Dat with us; None unless it is known as good.
        tried: How each transport fared last: "connected", or why not.
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
    sources: tuple[str, ...] = ()
    first_seen: float | None = None
    last_seen: float | None = None
    last_success: float | None = None
    tried: dict[str, str] = field(default_factory=dict)

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
            sources=tuple(dict.fromkeys((*shown.sources, *peer.sources))),
            first_seen=shown.first_seen,
            last_seen=_latest(peer.last_seen, shown.last_seen),
            last_success=_latest(peer.last_success, shown.last_success),
            tried=dict(shown.tried),
        )


def _latest(*times: float | None) -> float | None:
    return max((time for time in times if time is not None), default=None)
