"""What the hall tells about archives, peers and itself: plain values, for any face to show."""

from dataclasses import dataclass, field
from typing import Literal

from datd.hosting.settings import AS_DAT_DOES
from datd.hosting.stats import Savings
from datd.records import Conflict, Forking, ImportRules
from datd.transport.bandwidth import Rates
from datd.types import Address

Mode = Literal["archive", "latest", "sparse"]
Chunking = Literal["fixed", "content"]
NetworkKind = Literal["discovery", "transport", "gateway"]
State = Literal["searching", "syncing", "seeding", "paused", "error"]


@dataclass(slots=True)
class Progress:
    """What is held of what the mode wants.

    Attributes:
        have: Units held.
        total: Units wanted, as far as known.
        unavailable: Old ones that no peer has any more; not part of `total`.
    """

    have: int = 0
    total: int = 0
    unavailable: int = 0


@dataclass(slots=True)
class ArchiveView:
    """One archive as the interface shows it. Times: seconds since 1970. Rates: bytes a second."""

    key: str
    discovery_key: str
    name: str | None
    title: str
    description: str
    tags: list[str]
    writable: bool
    mode: Mode
    state: State
    error: str | None
    version: int
    files: int
    size: int
    blocks: Progress
    bytes: Progress
    progress: float
    peers_connected: int
    peers_known: int
    networks: list[str]
    shortname: str | None
    domain: str | None
    download_rate: float
    upload_rate: float
    downloaded: int
    uploaded: int
    added_at: float
    updated_at: float | None
    last_peer_at: float | None
    include: list[str] | None = None
    web_sources: list[str] = field(default_factory=list)
    version_tags: dict[str, int] = field(default_factory=dict)
    chunking: Chunking = "fixed"
    source: str | None = None
    watch: bool = False
    location: str | None = None
    conflict: Conflict | None = None
    import_rules: ImportRules = AS_DAT_DOES
    forking: Forking | None = None
    saved: Savings = field(default_factory=Savings)


@dataclass(slots=True)
class PeerView:
    """One peer of one archive.

    Attributes:
        address: Where it listens, or calls from.
        source: Who told of it first: "mdns", "dns", "dht", "manual", "inbound", "remembered".
        sources: Everybody who told of it.
        state: "connected", "connecting", "waiting" (for a retry), "banned", "gone".
        transport: "tcp" or "utp" while connected.
        initiator: Whether we dialled.
        length: Metadata blocks it announced; None until it said so.
        dropped: Why the last connection ended through its fault, or None.
        marks: Counts of good and bad behaviour, by name.
        first_seen: When it was heard of, in seconds since 1970.
        last_seen: When a network named it, or it spoke, last.
        last_success: When it last spoke Dat with us.
        tried: How each transport fared last: "connected", or why not.
    """

    archive: str
    address: Address
    source: str
    state: str
    transport: str | None = None
    initiator: bool | None = None
    connected_at: float | None = None
    length: int | None = None
    downloaded: int = 0
    uploaded: int = 0
    dropped: str | None = None
    last_error: str | None = None
    marks: dict[str, int] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    first_seen: float | None = None
    last_seen: float | None = None
    last_success: float | None = None
    tried: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class EntryView:
    """A file or folder. `kind`: "file", "directory", "other"; mtime: seconds since 1970."""

    path: str
    kind: str
    size: int
    mode: int
    mtime: float
    blocks: int
    available: int


@dataclass(slots=True)
class NetworkPart:
    """A part of a network that works or not by itself, such as one discovery server.

    Attributes:
        name: As its operator wrote it: "dat.example.org:5300".
        working: Whether it answers; None while that is not known.
        remark: A few words for people.
    """

    name: str
    working: bool | None
    remark: str = ""


@dataclass(slots=True)
class NetworkView:
    """How one discovery network, transport or gateway fares.

    Attributes:
        name: "mdns", "dns", "dht", "tcp", "utp", "port mapping".
        kind: What it is for: finding peers, reaching them, being reached.
        working: Whether it does its work; None while that is not known.
        remark: A few words for people: the public address, why it does not work.
        numbers: What is counted, by name: "nodes", "lookups", "announced", "connections", …
        parts: What it consists of, if that is of interest.
    """

    name: str
    kind: NetworkKind
    working: bool | None = None
    remark: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    parts: list[NetworkPart] = field(default_factory=list)


@dataclass(slots=True)
class DaemonView:
    """The whole daemon."""

    version: str
    started_at: float
    port: int
    peer_id: str
    archives: dict[str, int]
    peers_connected: int
    peers_known: int
    download_rate: float
    upload_rate: float
    downloaded: int
    uploaded: int
    blocks_have: int
    bytes_have: int
    networks: list[str]
    network_views: list[NetworkView] = field(default_factory=list)
    saved: Savings = field(default_factory=Savings)
    limits: Rates = field(default_factory=lambda: Rates(None, None))
    damage: str | None = None
