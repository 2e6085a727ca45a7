"""Every request and answer of the API. Imports pydantic, and of ours nothing but models.

Units: bytes, bytes per second, seconds; times are RFC 3339 in UTC; keys are 64 lower-case digits.
Requests are strict and refuse fields they do not know; answers may gain fields, so readers ignore
what they do not know.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from datctl.models_archive import Amount, Conflict, FollowLinks, ImportRules, PeerCounts, Saved
from datctl.models_settings import RateLimits

Mode = Literal["archive", "latest", "sparse"]
Chunking = Literal["fixed", "content"]
State = Literal["searching", "syncing", "seeding", "paused", "error"]

# Control characters would reach terminals and logs; a slash ends the name in ARCHIVE/PATH.
_NAME = r"^[^\x00-\x1f\x7f/]+$"
_TAG = r"^[^\x00-\x1f\x7f]+$"
MAX_LINK_LENGTH = 2_048
MAX_NAME_LENGTH = 100
MAX_TAG_LENGTH = 64
MAX_TAGS = 32
MAX_VERSION_TAGS = 256
MAX_PEERS_GIVEN = 64
MAX_NETWORKS = 16
MAX_DOMAIN_LENGTH = 254
MAX_PATTERNS = 256
MAX_PATTERN_LENGTH = 1_024
MAX_PATH_LENGTH = 4_096
MAX_TEXT_LENGTH = 10_000


def _whole(value: Any) -> Any:
    """JSON Schema calls 8.0 an integer, strict validation does not."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[
    int,
    BeforeValidator(_whole, json_schema_input_type=Annotated[int, Field(ge=0, lt=2**53)]),
    Field(ge=0, lt=2**53),
]
Name = Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH, pattern=_NAME)]
Tag = Annotated[str, StringConstraints(max_length=MAX_TAG_LENGTH, pattern=_TAG)]
NetworkName = Annotated[str, StringConstraints(max_length=32, pattern=r"^[a-z0-9-]+$")]
Networks = Annotated[list[NetworkName], Field(max_length=MAX_NETWORKS)]
Domain = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DOMAIN_LENGTH)]
HostPort = Annotated[str, StringConstraints(max_length=260)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]
Peers = Annotated[list[HostPort], Field(max_length=MAX_PEERS_GIVEN)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATTERN_LENGTH)]
Patterns = Annotated[list[Pattern], Field(max_length=MAX_PATTERNS)]
# The daemon says what is wrong with one, in words.
WebSource = Annotated[
    str,
    StringConstraints(max_length=2048),
    Field(json_schema_extra={"pattern": r"^(https?|wss?)://\S+$"}),
]
WebSources = Annotated[list[WebSource], Field(max_length=16)]
# Behind the `+` of a link: neither a number, nor a time, nor the end of the name.
VersionTag = Annotated[
    str, StringConstraints(max_length=MAX_TAG_LENGTH, pattern=r"^[A-Za-z_][A-Za-z0-9._-]*$")
]


class Request(BaseModel):
    """Base of what clients send: a misspelt field is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid")


class NewArchive(Request):
    """Body of `POST /archives`: host somebody's archive.

    Attributes:
        link: Any form of a Dat link, also with a name (`dat://example.org`) where names are looked
            up; `dat://KEY+N` is the same as giving `version`.
        mode: "archive": every block of every version; "latest": the newest version of each file;
            "sparse": only what is read or matches `include`.
        include: Patterns of paths, for a sparse archive; null or absent: only what is read.
        version: Mirror this version and nothing newer.
        peers: Sources to try at once, as `host:port`.
        networks: Discovery networks to look for peers on and be found on; null: all of the
            daemon's, now and later; an empty list: none.
        web_sources: Folders on web servers where it lies too, or WebSockets (`wss://…`) that
            replicate it; used beside the networks, and alone where `networks` is an empty list.
        domain: Where `/.well-known/dat` names the archive, so that it becomes public.
    """

    link: Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINK_LENGTH)]
    name: Name | None = None
    tags: Tags = []
    mode: Mode = "archive"
    include: Patterns | None = None
    version: Annotated[Whole, Field(ge=1)] | None = None
    paused: bool = False
    peers: Peers = []
    networks: Networks | None = None
    web_sources: WebSources = []
    domain: Domain | None = None


class ArchiveChanges(Request):
    """Body of `PATCH /archives/{key}`: what is not named stays as it is.

    Attributes:
        name: Null: none.
        mode: As in `NewArchive`.
        include: As in `NewArchive`; null: nothing is fetched unasked.
        prune: Of a sparse archive, also one that becomes it: drop what it does not want (any more).
        force: Also drop blocks of an archive of our own, by the mode `latest` or by `prune`.
        version: Mirror this version and nothing newer; null: follow the newest.
        networks: As in `NewArchive`; null: all of the daemon's.
        web_sources: As in `NewArchive`: all of them.
        domain: As in `NewArchive`; null: none.
        watch: Publish changes in the source folder as they happen.
        chunking: How files are cut from now on.
        follow_links: As in `ImportRules`, from the next import on; likewise `ignore_hidden` and
            `delete`.
        version_tags: Names for versions; null takes one away, others stay.
    """

    name: Name | None = None
    tags: Tags | None = None
    mode: Mode | None = None
    include: Patterns | None = None
    prune: bool = False
    force: bool = False
    version: Annotated[Whole, Field(ge=1)] | None = None
    watch: bool | None = None
    chunking: Chunking | None = None
    follow_links: FollowLinks | None = None
    ignore_hidden: bool | None = None
    delete: bool | None = None
    version_tags: Annotated[dict[VersionTag, Whole | None], Field(max_length=MAX_VERSION_TAGS)] = {}
    networks: Networks | None = None
    web_sources: WebSources | None = None
    domain: Domain | None = None


class PeerAddress(Request):
    """Body of `POST /archives/{key}/peers`."""

    address: HostPort


class NoFields(Request):
    """Body of the verbs: nothing, or an empty object."""


class Rates(BaseModel):
    """Bytes per second, over the last seconds."""

    download: float
    upload: float


class Transferred(BaseModel):
    """Bytes since the archive was added."""

    downloaded: int
    uploaded: int


class Archive(BaseModel):
    """One archive, as every route returns it.

    Attributes:
        writable: Whether it is ours: files can be written.
        version: Length of the metadata feed that we know.
        files: Files of the newest version.
        size: Bytes of the newest version.
        progress: 0 to 1, of what the mode wants, metadata and content together.
        networks: Discovery networks that it is on.
        web_sources: Where it lies on the web.
        shortname: The name it was added by, if not by its key.
        stale: In the answer to `POST /archives`: nobody could be asked what the name in the link
            means, so this is the archive that it meant earlier.
        domain: Where `/.well-known/dat` names it.
        include: Of a sparse archive: patterns of what is fetched without being asked for.
        version_tags: Names of versions.
        chunking: How files of ours are cut.
        source: The folder of the daemon's host that it is published from.
        import_rules: How that is done.
        watch: Whether changes there are published as they happen.
        location: Where its files lie, if not in the daemon's data folder.
        job: Id of the job that works on it now.
        conflict: Proof of a second history under its key, if there is one.
        saved: What equal blocks of other archives or versions spared.
    """

    key: str
    link: str
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
    blocks: Amount
    bytes: Amount
    progress: float
    peers: PeerCounts
    networks: list[str] = []
    web_sources: list[str] = []
    shortname: str | None = None
    stale: bool = False
    domain: str | None = None
    include: list[str] | None = None
    version_tags: dict[str, int] = {}
    chunking: Chunking = "fixed"
    source: str | None = None
    watch: bool = False
    import_rules: ImportRules | None = None
    location: str | None = None
    job: str | None = None
    conflict: Conflict | None = None
    saved: Saved = Saved()
    rates: Rates
    transferred: Transferred
    added_at: datetime | None
    updated_at: datetime | None
    last_peer_at: datetime | None


class ArchivePage(BaseModel):
    """One page of archives; `next_cursor` is null on the last one."""

    archives: list[Archive]
    next_cursor: str | None


class ChosenFields(BaseModel):
    """Some fields of an archive, as they are in `Archive`: those that were asked for."""

    model_config = ConfigDict(extra="allow")

    key: str


class ChosenPage(BaseModel):
    """One page of archives with `fields`; `next_cursor` is null on the last one."""

    archives: list[ChosenFields]
    next_cursor: str | None


class ArchiveStats(BaseModel):
    """Answer of `GET /archives/{key}/stats`: the numbers of an archive that move."""

    key: str
    state: State
    version: int
    progress: float
    blocks: Amount
    bytes: Amount
    peers: PeerCounts
    rates: Rates
    transferred: Transferred
    last_peer_at: datetime | None


class Peer(BaseModel):
    """One peer of one archive.

    Attributes:
        archive: Key of the archive.
        address: `host:port`.
        source: Who told of it first: "mdns", "dns", "dht", "manual", "inbound", "remembered", …
        sources: Everybody who told of it.
        transport: "tcp" or "utp" while connected.
        state: "connected", "connecting", "waiting", "banned" or "gone".
        initiator: Whether we dialled.
        length: Metadata blocks it announced; null until it said so.
        dropped: Why the last connection ended through its fault.
        marks: Counts of good and bad behaviour, by name.
        first_seen: When it was heard of.
        last_seen: When a network named it, or it spoke, last.
        last_success: When it last spoke Dat with us; null unless it is known as good.
        tried: How each transport fared last: "connected", or why not.
    """

    archive: str
    address: str
    source: str
    state: str
    transport: str | None
    initiator: bool | None
    connected_at: datetime | None
    length: int | None
    transferred: Transferred
    dropped: str | None
    last_error: str | None
    marks: dict[str, int]
    sources: list[str] = []
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    last_success: datetime | None = None
    tried: dict[str, str] = {}


class PeerPage(BaseModel):
    """One page of peers; `next_cursor` is null on the last one."""

    peers: list[Peer]
    next_cursor: str | None


class Entry(BaseModel):
    """A file or folder of an archive.

    Attributes:
        path: From the root of the archive, starting with `/`. Any text: it is the author's.
        kind: "file", "directory" or "other".
        mode: Unix mode bits.
        mtime: As the author signed it; null where that is no date, and for folders without entry.
        blocks: Blocks of its content, and how many of them are here (`available`).
    """

    path: str
    kind: str
    size: int
    mode: int
    mtime: datetime | None
    blocks: int
    available: int


class Listing(BaseModel):
    """One page of a folder's entries; `next_cursor` is null on the last one."""

    key: str
    path: str
    version: int
    entries: list[Entry]
    next_cursor: str | None


class NetworkPart(BaseModel):
    """A part of a network that works or not by itself, such as one discovery server.

    Attributes:
        name: As its operator wrote it.
        working: Whether it answers; null while that is not known.
        remark: A few words for people.
    """

    name: str
    working: bool | None
    remark: str


class Network(BaseModel):
    """How one discovery network, transport or gateway fares.

    Attributes:
        name: "mdns", "dns", "dht", "tcp", "utp", …
        kind: "discovery", "transport" or "gateway".
        working: Whether it does its work; null while that is not known.
        remark: A few words for people.
        numbers: What is counted, by name.
        parts: What it consists of, if that is of interest.
    """

    name: str
    kind: str
    working: bool | None
    remark: str
    numbers: dict[str, int]
    parts: list[NetworkPart]


class DaemonStats(BaseModel):
    """Answer of `GET /stats`: the whole daemon.

    Attributes:
        version: Of the software.
        uptime: Seconds.
        port: Where peers reach us.
        peer_id: Random for each process, hex.
        archives: How many are in each state, by name of the state.
        blocks: Blocks held, of all archives; likewise `bytes`.
        networks: Discovery networks at work.
        details: How they, the transports and gateways fare.
        saved: What equal blocks, held here already, spared all archives.
        limits: What the rates may be.
        damage: What was found to make no sense in the catalogue since the start: a new start mends
            it as far as that goes; null as long as all is well.
    """

    version: str
    started_at: datetime | None
    uptime: float
    port: int
    peer_id: str
    archives: dict[str, int]
    peers: PeerCounts
    rates: Rates
    transferred: Transferred
    blocks: int
    bytes: int
    networks: list[str]
    details: list[Network] = []
    saved: Saved = Saved()
    limits: RateLimits = RateLimits()
    damage: str | None = None


class ApiInfo(BaseModel):
    """Answer of `GET /api/v1/`: what this is."""

    name: str
    version: str
    api: str


class Health(BaseModel):
    """Answer of `GET /healthz` and `GET /readyz`: "alive" or "ready"."""

    status: str


class FieldError(BaseModel):
    """One field of a request that is wrong; `pointer` as in RFC 6901, empty for the whole body."""

    pointer: str
    detail: str


class ProblemDetails(BaseModel):
    """Body of every error (RFC 9457). The last part of `type` is stable."""

    type: str
    title: str
    status: int
    detail: str
    message: str | None = None
    errors: list[FieldError] | None = None
