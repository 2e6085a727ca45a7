"""What can be set, section by section, with defaults and limits; `config` reads it."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    ValidationInfo,
    field_validator,
    model_validator,
)

_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[^\s:,/\[\]]+)"
_PORT = r"0*[1-9][0-9]{0,4}"


def _written_as(pattern: str, example: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {example}")
        if any(int(port) > 65535 for port in re.findall(r"[:,](\d+)(?=,|$)", text)):
            raise ValueError("a port is at most 65535")
        return text

    return AfterValidator(check)


# discovery.md section 3.2: a server without a port is asked at 5300, then at 53.
DnsServer = Annotated[
    str, _written_as(rf"{_HOST}(?::{_PORT}(?:,{_PORT})*)?", "HOST, HOST:PORT or HOST:PORT,PORT")
]
BootstrapNode = Annotated[str, _written_as(rf"{_HOST}(?::{_PORT})?", "HOST or HOST:PORT")]
Resolver = Annotated[str, _written_as(r"https://[^\s/?#]+(?:/[^\s?#]*)?", "https://HOST/PATH")]
Domain = Annotated[
    str, _written_as(r"[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}", "two words with a dot, as in dat.local")
]

Origin = Annotated[
    str,
    _written_as(
        r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[^\s:,/*\[\]A-Z?#@]+)(?::[0-9]{1,5})?",
        "an origin as browsers send it, such as https://example.org, in lower case and without /",
    ),
]
NetworkName = Literal["mdns", "dns", "dht"]

_UNITS = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?((?:[kmgt]i?)?)b?", re.IGNORECASE)
# The usual block of the original takes four seconds then. It ends a connection when its oldest
# request was not answered for 7.5 s (wire.md section 9), and so would never get one whole.
MIN_RATE = 16_000


def _rate(value: object) -> object:
    """Bytes a second, written as `500 kB` or `500kB/s`."""
    return _bytes(value.strip().removesuffix("/s") if isinstance(value, str) else value)


def _usable(rate: int) -> int:
    if 0 < rate < MIN_RATE:
        raise ValueError(f"expected {MIN_RATE} bytes a second or more, or 0 for no limit")
    return rate


def _bytes(value: object) -> object:
    """A number of bytes that is written as `500 MB` or `1.5GiB`; all else is left as it is."""
    if not isinstance(value, str):
        return value
    found = _AMOUNT.fullmatch(value.strip())
    if found is None:
        raise ValueError("expected a size, such as 2000000, 2 MB or 1.5GiB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


Size = Annotated[int, Field(lt=2**53), BeforeValidator(_bytes)]
Rate = Annotated[int, Field(ge=0, lt=2**53), BeforeValidator(_rate), AfterValidator(_usable)]


class Section(BaseModel):
    """Base of the sections."""

    # Without this a misspelt key of a table would be dropped in silence.
    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic takes it for 1: `max_bytes = true` would be a quota of one byte.
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind not in (bool, bool | None):
            raise ValueError("expected a value, not true or false")
        return value


class NetworkSettings(Section):
    """How much of the network may be used: by all peers of all archives together, a second.

    Web sources count, too. The API and the gateway do not.
    """

    upload_limit: Rate | None = Field(
        default=None, description="Bytes a second to peers, such as 2 MB; 0: no limit (none)."
    )
    download_limit: Rate | None = Field(
        default=None, description="Bytes a second from peers and web sources; 0: no limit (none)."
    )


class SwarmSettings(Section):
    """How peers are reached."""

    host: str = Field(default="0.0.0.0", description="Numeric address to listen on (all).")
    port: int = Field(
        default=3282, ge=0, le=65535, description="TCP and UDP port; 0: any free one."
    )
    tcp: bool = Field(default=True, description="Speak TCP with peers.")
    utp: bool = Field(default=True, description="Speak uTP with peers, which passes many NATs.")
    max_connections: int = Field(
        default=1024, ge=1, le=1_000_000, description="Connections in all."
    )
    allow: list[IPvAnyNetwork] = Field(
        default=[], description="Only these networks are dialled and let in (empty: all)."
    )
    block: list[IPvAnyNetwork] = Field(
        default=[], description="These are never dialled nor let in."
    )
    allow_networks: list[IPvAnyNetwork] = Field(
        default=[],
        description="Private networks that discovery may name, such as 10.0.0.0/8.",
    )
    port_mapping: bool = Field(
        default=False, description="Ask the router to pass the port on (UPnP, NAT-PMP, PCP)."
    )

    @model_validator(mode="after")
    def _some_transport(self) -> Self:
        if not (self.tcp or self.utp):
            raise ValueError("tcp and utp are both off: no peer could be reached")
        return self


class DiscoverySettings(Section):
    """How peers are found. Each network tells others which archives are here; see the README."""

    networks: list[NetworkName] = Field(
        default=["mdns", "dns", "dht"], description="Where to look for peers, and be found."
    )
    dns_servers: list[DnsServer] = Field(
        default=[], max_length=16, description="Discovery servers: HOST, HOST:PORT or HOST:P,P."
    )
    dht_bootstrap: list[BootstrapNode] = Field(
        default=[], max_length=64, description="First nodes of the Mainline DHT: HOST:PORT."
    )
    domain: Domain = Field(
        default="dat.local", description="Domain of the names on discovery servers and multicast."
    )


class NamingSettings(Section):
    """How names such as example.org are turned into links."""

    resolvers: list[Resolver] = Field(
        default=[
            "https://cloudflare-dns.com/dns-query",
            "https://dns.google.com/resolve",
            "https://dns.quad9.net/dns-query",
        ],
        description="DNS over HTTPS (JSON) for the TXT records of a name; empty: none is asked.",
    )
    allow_networks: list[IPvAnyNetwork] = Field(
        default=[], description="Private networks where names may be looked up all the same."
    )


class WebSettings(Section):
    """Archives that lie on web servers too; see `datctl add --web`."""

    poll_seconds: int = Field(
        default=300, ge=5, le=86_400, description="How often a web source is looked at."
    )
    allow_networks: list[IPvAnyNetwork] = Field(
        default=[], description="Private networks where web sources may be all the same."
    )


class ApiSettings(Section):
    """Where programs and people talk to the daemon."""

    host: str = Field(default="127.0.0.1", description="Address of the control API.")
    port: int = Field(default=3472, ge=0, le=65535, description="Its port.")
    socket: Path | None = Field(default=None, description="Unix socket (the usual place).")
    hosts: list[str] = Field(default=[], description="Further names allowed in `Host`.")
    allow_public: bool = Field(
        default=False, description="Allow an address that other hosts can reach."
    )
    announce: bool = Field(
        default=True,
        description="Tell the local network of an API that other hosts can reach (DNS-SD).",
    )
    cors_origins: list[Origin] = Field(
        default=[],
        max_length=64,
        description="Sites whose pages may use the API, with a token: https://HOST, exactly.",
    )
    proxies: list[IPvAnyNetwork] = Field(
        default=[],
        max_length=64,
        description="Proxies of ours, such as 127.0.0.1: their X-Forwarded-For is believed.",
    )
    metrics_archives: int = Field(
        default=0,
        ge=0,
        # 1,000 are 8,000 series, 1 MB of text that takes the daemon 40 ms each time.
        le=1_000,
        description="So many archives, the oldest, have series of their own in /metrics.",
    )
    socket_scope: Literal["read", "control", "admin"] = Field(
        default="admin",
        description="What other users than this one and root may, who can open the Unix socket.",
    )


class PinningSettings(Section):
    """Accounts of people who have archives kept here, by the HTTP pinning service API."""

    title: str = Field(
        default="datd", min_length=1, max_length=100, description="What the service calls itself."
    )
    registration: bool = Field(
        default=False, description="Whether anybody who reaches the API may make an account."
    )
    max_bytes: Size = Field(
        default=10 * 10**9, ge=1, description="What an account may keep, unless told otherwise."
    )
    max_pins: int = Field(default=100, ge=1, description="How many archives.")


GatewayHost = Annotated[
    str,
    _written_as(
        r"(?:\*\.)?[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*",
        "a name in lower case, as gateway.example or *.gateway.example",
    ),
]


class GatewaySettings(Section):
    """Archives as web sites, for browsers; on an address of its own, since pages are untrusted."""

    enabled: bool = Field(default=True, description="Serve archives as web sites.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=3473, ge=0, le=65535, description="Its port; 0: any free one.")
    hosts: list[GatewayHost] = Field(
        default=[],
        max_length=64,
        description="Names it has beside localhost; with `*.` each archive gets a name below.",
    )
    allow_public: bool = Field(
        default=False, description="Allow an address that other hosts can reach."
    )
    proxies: list[IPvAnyNetwork] = Field(
        default=[],
        max_length=64,
        description="Proxies of ours, such as 127.0.0.1: their X-Forwarded-For is believed.",
    )
    names: bool | None = Field(
        default=None,
        description="Find archives by name, too (unless there are `hosts` or `allow_public`).",
    )
    open: bool = Field(
        default=False, description="Fetch archives that are not hosted here, for whoever asks."
    )
    open_max: int = Field(default=100, ge=1, description="How many of those are kept at a time.")
    fallback_status: Literal[200, 404] = Field(
        default=404, description="Status of an archive's own page for what does not exist."
    )


class WebhookSettings(Section):
    """Where what happens may be sent."""

    allow_networks: list[IPvAnyNetwork] = Field(
        default=[], description="Private networks where receivers may be, such as 127.0.0.0/8."
    )


class StorageSettings(Section):
    """How much may be kept. What is here is served in any case; only fetching stops."""

    max_bytes: Size | None = Field(
        default=None, ge=0, description="For all archives together (no limit)."
    )
    max_archive_bytes: Size | None = Field(
        default=None, ge=0, description="For one archive (no limit)."
    )
    keep_free: Size | None = Field(
        default=None,
        ge=0,
        description="Left free on the disk (1 GiB or 5 %, the smaller).",
    )
    dedup: bool = Field(
        default=True, description="Take blocks that are here already, by their hash, from the disk."
    )


class LogSettings(Section):
    """What is told on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is less important than this is left out."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="Lines for people, or a JSON document each."
    )
