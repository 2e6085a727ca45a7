"""The daemon's own settings: what `GET /settings` shows, and what can be changed while it runs."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LogLevel = Literal["debug", "info", "warning", "error"]
SettingSource = Literal["default", "file", "credential", "environment", "command_line", "changed"]
Unit = Literal["bytes", "bytes/s", "seconds"]

# Below that, a peer of the original could not get one usual block before it loses patience.
MIN_RATE = 16_000
_MAX_NUMBER = 2**53 - 1


def _usable(rate: int) -> int:
    if 0 < rate < MIN_RATE:
        raise ValueError(f"expected {MIN_RATE} bytes a second or more, or 0 for no limit")
    return rate


Rate = Annotated[
    int,
    Field(ge=0, le=_MAX_NUMBER, json_schema_extra={"anyOf": [{"const": 0}, {"minimum": MIN_RATE}]}),
    AfterValidator(_usable),
]
Size = Annotated[int, Field(ge=0, le=_MAX_NUMBER)]


class _Changes(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NetworkChanges(_Changes):
    """Bytes a second of all peers of all archives, and web sources, together; 0: no limit.

    Attributes:
        upload_limit: To peers.
        download_limit: From peers and web sources.
    """

    upload_limit: Rate | None = None
    download_limit: Rate | None = None


class SwarmChanges(_Changes):
    """How many peers.

    Attributes:
        max_connections: In all. Nobody is thrown out when it becomes less.
    """

    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class StorageChanges(_Changes):
    """How much may be kept, in bytes; what is here is served in any case.

    Attributes:
        max_bytes: For all archives together.
        max_archive_bytes: For one archive.
        keep_free: Left free on the disk.
    """

    max_bytes: Size | None = None
    max_archive_bytes: Size | None = None
    keep_free: Size | None = None


class LogChanges(_Changes):
    """What is told in the log.

    Attributes:
        level: What is less important than this is left out.
    """

    level: LogLevel | None = None


class SettingChanges(_Changes):
    """Body of `PATCH /settings`. What is not named stays; null goes back to what is configured.

    Attributes:
        network: Bandwidth.
        swarm: Peers.
        storage: Quotas.
        log: The log.
    """

    network: NetworkChanges = NetworkChanges()
    swarm: SwarmChanges = SwarmChanges()
    storage: StorageChanges = StorageChanges()
    log: LogChanges = LogChanges()


SECTIONS: dict[str, type[BaseModel]] = {
    "network": NetworkChanges,
    "swarm": SwarmChanges,
    "storage": StorageChanges,
    "log": LogChanges,
}


class Setting(BaseModel):
    """One setting of the running daemon.

    Attributes:
        name: Section and name, as in `network.upload_limit`.
        value: What holds; null: not set, or a secret.
        source: Where that comes from; "changed": from a change while the daemon ran.
        configured: What holds without such a change.
        changeable: Whether it can be changed while the daemon runs; else with a restart.
        secret: Whether the value is not shown.
        unit: Of the value, if it is an amount.
        description: For people.
    """

    name: str
    value: Any = None
    source: SettingSource
    configured: Any = None
    changeable: bool = False
    secret: bool = False
    unit: Unit | None = None
    description: str = ""


class SettingList(BaseModel):
    """Answer of `GET /settings` and `PATCH /settings`: all of them, by section."""

    settings: list[Setting]


class RateLimits(BaseModel):
    """What rates may be, in bytes per second, all traffic with peers counted; null: anything."""

    download: int | None = None
    upload: int | None = None
