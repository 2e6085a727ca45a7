"""What the catalogue keeps of each archive: plain values, made by hosting and written as rows."""

from dataclasses import dataclass, field
from typing import NamedTuple

from datd.keys import Key
from datd.types import Address


@dataclass(slots=True)
class Summary:
    """What was last known of an archive, so that it can be shown without opening it.

    Attributes:
        disjoint: Whether no two files of the version claim the same content.
    """

    title: str = ""
    description: str = ""
    version: int = 0
    files: int = 0
    size: int = 0
    blocks_have: int = 0
    blocks_total: int = 0
    blocks_unavailable: int = 0
    bytes_have: int = 0
    bytes_total: int = 0
    complete: bool = False
    disjoint: bool = False


@dataclass(slots=True)
class Signed:
    """What a feed's writer put its name to. Hash and signature are hex, length counts blocks."""

    length: int
    root_hash: str
    signature: str


@dataclass(slots=True)
class Conflict:
    """Proof that one key signed two histories (T-22).

    Attributes:
        feed: Discovery key of the feed, hex.
        kept: The history that came first, kept and served.
        refused: The other one, of which nothing is stored.
    """

    feed: str
    kept: Signed | None
    refused: Signed


class GoodPeer(NamedTuple):
    """A peer that was good: tried first after an outage or a restart.

    Attributes:
        address: Where it listens.
        kind: The transport that reached it, such as "tcp".
        last_success: When it last spoke Dat with us, in seconds since 1970.
        sources: Who told of it.
        useful: Whether it ever gave a block that verifies.
    """

    address: Address
    kind: str
    last_success: float
    sources: tuple[str, ...] = ()
    useful: bool = False


@dataclass(frozen=True, slots=True)
class ImportRules:
    """How a folder is imported, whenever that is; see `Importer`."""

    follow_links: str = "inside"
    ignore_hidden: bool = True
    delete: bool = True


@dataclass(frozen=True, slots=True)
class Forking:
    """A copy that is not complete.

    Attributes:
        original: Key of what is copied, hex.
        version: Number of the version that is copied.
        fields: What its `/dat.json` shall say in place of what the original says.
    """

    original: str
    version: int
    fields: dict[str, str]


@dataclass(slots=True)
class Record:
    """One hosted archive. Times are seconds since 1970; `pinned` is the version to stop at.

    Attributes:
        networks: Discovery networks it is looked up and announced on; None for all there are.
        shortname: The name it was added by, such as "example.org"; None if by its key.
        domain: Where `/.well-known/dat` names it.
        include: Of a sparse archive: what is fetched without being asked for; None for nothing.
        synced: Of a latest archive: the version up to which old blocks were dropped.
        writable: Whether its secret key is here: it is ours.
        chunking: How files of ours are cut: "fixed" or "content".
        source: The folder of this host that it is published from.
        watch: Whether changes in that folder are published as they happen.
        importing: Whether an import of that folder has begun and not ended: it is resumed.
        import_rules: How that folder is imported.
        forking: Of what it is to be a copy, while it is not one yet: that is resumed.
        location: Where its files lie, if somewhere of their own; None for the data folder.
        layout: How they lie there: "flat", "hyperdrive" or "dat".
        version_tags: Names that somebody gave to versions.
        peers: Sources that somebody gave.
        web_sources: Addresses of the web where it lies too, or is replicated by WebSocket.
        good_peers: Peers that were good, the latest first.
    """

    key: Key
    added_at: float
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    mode: str = "archive"
    paused: bool = False
    pinned: int | None = None
    updated_at: float | None = None
    last_peer_at: float | None = None
    dirty: bool = False
    downloaded: int = 0
    uploaded: int = 0
    summary: Summary = field(default_factory=Summary)
    conflict: Conflict | None = None
    networks: list[str] | None = None
    shortname: str | None = None
    domain: str | None = None
    include: list[str] | None = None
    synced: int = 0
    writable: bool = False
    chunking: str = "fixed"
    source: str | None = None
    watch: bool = False
    importing: bool = False
    import_rules: ImportRules = ImportRules()
    forking: Forking | None = None
    location: str | None = None
    layout: str = "flat"
    version_tags: dict[str, int] = field(default_factory=dict)
    peers: list[Address] = field(default_factory=list)
    good_peers: list[GoodPeer] = field(default_factory=list)
    web_sources: list[str] = field(default_factory=list)
