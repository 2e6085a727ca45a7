"""What happens in a daemon, as `GET /events` and webhooks tell it; and webhooks themselves."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "archive.added",
    "archive.removed",
    "archive.changed",
    "archive.paused",
    "archive.resumed",
    "archive.version",
    "archive.complete",
    "archive.error",
    "archive.recovered",
    "archive.conflict",
    "archive.damaged",
    "disk.full",
    "disk.room",
    "job.started",
    "job.ended",
    "webhook.disabled",
    "daemon.started",
    "daemon.stopping",
    "file.put",
    "file.deleted",
    "files.unknown",
    "events.lost",
]


class Event(BaseModel):
    """Something that happened. Those of later versions may tell more, and be of further kinds.

    Attributes:
        id: Where it stands: give it as `since` to go on behind it. Numbers of one daemon are never
            used twice.
        kind: What happened.
        at: When.
        archive: Key of the archive it happened to.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    kind: str
    at: datetime
    archive: str | None


class ArchiveAdded(Event):
    """An archive is hosted from now on."""

    kind: Literal["archive.added"]
    name: str | None
    tags: list[str]
    mode: str
    writable: bool


class ArchiveRemoved(Event):
    """An archive is not hosted any more; what it was called."""

    kind: Literal["archive.removed"]
    name: str | None
    tags: list[str]


class ArchiveChanged(Event):
    """Settings of an archive are others now; `changed` are their names."""

    kind: Literal["archive.changed"]
    changed: list[str]


class ArchivePaused(Event):
    """An archive is neither fetched nor served."""

    kind: Literal["archive.paused"]


class ArchiveResumed(Event):
    """An archive is fetched and served again."""

    kind: Literal["archive.resumed"]


class ArchiveVersion(Event):
    """A newer version of an archive is known: `version`, after `previous`.

    Its content may still have to come: `archive.complete` says when it is here.
    """

    kind: Literal["archive.version"]
    previous: int
    version: int


class ArchiveComplete(Event):
    """All that the archive's mode wants of a version is here, and on the disk."""

    kind: Literal["archive.complete"]
    version: int
    files: int
    size: int


class ArchiveFailed(Event):
    """The files of an archive cannot be used; it is tried again every minute."""

    kind: Literal["archive.error"]
    error: str


class ArchiveRecovered(Event):
    """The files of an archive can be used again."""

    kind: Literal["archive.recovered"]


class ArchiveConflict(Event):
    """Somebody signed two histories of an archive; `feed` is the discovery key of that feed."""

    kind: Literal["archive.conflict"]
    feed: str


class ArchiveDamaged(Event):
    """Blocks turned out to be damaged on the disk; they are fetched again.

    Attributes:
        feed: "metadata" or "content".
        count: How many.
        blocks: Their numbers, the first hundred.
    """

    kind: Literal["archive.damaged"]
    feed: Literal["metadata", "content"]
    count: int
    blocks: list[int]


class DiskFull(Event):
    """An archive fetches nothing more, for want of room."""

    kind: Literal["disk.full"]
    reason: str


class DiskRoom(Event):
    """There is room for that archive again."""

    kind: Literal["disk.room"]


class JobStarted(Event):
    """Long work has begun; `job` is its id, `work` what is done."""

    kind: Literal["job.started"]
    job: str
    work: str


class JobEnded(Event):
    """Long work has ended, well or not: `state` is "done", "failed" or "cancelled"."""

    kind: Literal["job.ended"]
    job: str
    work: str
    state: str
    text: str
    error: str | None


class WebhookDisabled(Event):
    """A webhook is sent nothing any more, and why."""

    kind: Literal["webhook.disabled"]
    webhook: str
    reason: str


class DaemonStarted(Event):
    """The daemon has started."""

    kind: Literal["daemon.started"]
    version: str


class DaemonStopping(Event):
    """The daemon was asked to end. After a crash there is none of these."""

    kind: Literal["daemon.stopping"]


class FilePut(Event):
    """A file or folder is new, or other than before, since `version`."""

    kind: Literal["file.put"]
    path: str
    version: int
    type: Literal["file", "directory", "other"]
    size: int


class FileDeleted(Event):
    """A file or folder is gone, since `version`."""

    kind: Literal["file.deleted"]
    path: str
    version: int


class FilesUnknown(Event):
    """Not all that changed at a path between two versions could be found out, and why."""

    kind: Literal["files.unknown"]
    path: str
    previous: int
    version: int
    reason: str


class EventsLost(Event):
    """What came behind `since` is not kept any more, up to `oldest`: look at everything anew."""

    kind: Literal["events.lost"]
    since: str
    oldest: int
    newest: int


Known = Annotated[
    ArchiveAdded
    | ArchiveRemoved
    | ArchiveChanged
    | ArchivePaused
    | ArchiveResumed
    | ArchiveVersion
    | ArchiveComplete
    | ArchiveFailed
    | ArchiveRecovered
    | ArchiveConflict
    | ArchiveDamaged
    | DiskFull
    | DiskRoom
    | JobStarted
    | JobEnded
    | WebhookDisabled
    | DaemonStarted
    | DaemonStopping
    | FilePut
    | FileDeleted
    | FilesUnknown
    | EventsLost,
    Field(discriminator="kind"),
]


class EventPage(BaseModel):
    """Answer of `GET /events?format=json`: events, oldest first, and where to go on.

    Attributes:
        events: What happened.
        next: Give this as `since` to go on.
        more: Whether there is more already.
    """

    events: list[Known]
    next: str
    more: bool


class NewWebhook(BaseModel):
    """Body of `POST /webhooks`.

    Attributes:
        url: Where events are sent: http:// or https://, to a public address or one that the setting
            `webhooks.allow_networks` names.
        kinds: Which: names, or as in `archive.*`; none: all.
        archive: Only those about this archive: a link, a key, the beginning of one, or a name.
        path: Also files of that archive, at or below this path.
        tag: Only those about archives with this tag.
        secret: What deliveries are signed with: `whsec_` and 24 to 64 bytes in base64. One is made
            unless it is given.
        enabled: Whether anything is sent.
    """

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=2_048)
    kinds: list[str] = Field(default=[], max_length=64)
    archive: str | None = None
    path: str | None = Field(default=None, max_length=4_096)
    tag: str | None = Field(default=None, max_length=100)
    secret: str | None = Field(default=None, max_length=100)
    enabled: bool = True


class WebhookChanges(BaseModel):
    """Body of `PATCH /webhooks/{id}`; what is not named stays as it is.

    Attributes:
        secret: Another one; null: a new one is made.
        enabled: true also for one that was disabled since it failed: it goes on where it was.
    """

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(default=None, min_length=1, max_length=2_048)
    kinds: list[str] | None = Field(default=None, max_length=64)
    archive: str | None = None
    path: str | None = Field(default=None, max_length=4_096)
    tag: str | None = Field(default=None, max_length=100)
    secret: str | None = Field(default=None, max_length=100)
    enabled: bool | None = None


class Webhook(BaseModel):
    """A webhook, and how it fares.

    Attributes:
        position: Behind the last event that it took.
        attempts: How often the next one was sent in vain.
        failing_since: Since when.
        delivered_at: When it took an event last.
        status: HTTP status of its last answer.
        error: Why the last delivery failed.
        disabled: Why it was disabled, if not by hand.
        secret: What deliveries are signed with; shown once, when it is new.
    """

    id: str
    url: str
    kinds: list[str]
    archive: str | None
    path: str | None
    tag: str | None
    enabled: bool
    created_at: datetime
    position: str
    attempts: int
    failing_since: datetime | None
    delivered_at: datetime | None
    status: int | None
    error: str | None
    disabled: str | None
    secret: str | None = None


class WebhookList(BaseModel):
    """Answer of `GET /webhooks`, the oldest first."""

    webhooks: list[Webhook]


class WebhookTest(BaseModel):
    """What came of sending an event of kind `webhook.test` once.

    Attributes:
        delivered: Whether it was taken.
        status: HTTP status of the answer, if there was one.
        error: Why it was not taken.
    """

    delivered: bool
    status: int | None
    error: str | None


def event_of(document: dict[str, Any]) -> Event:
    """An event from its JSON: of its own class, or an `Event` with all fields if it is unknown."""
    return _CLASSES.get(str(document.get("kind")), Event).model_validate(document)


_CLASSES: dict[str, type[Event]] = {
    found.model_fields["kind"].annotation.__args__[0]: found  # type: ignore[union-attr]
    for found in Event.__subclasses__()
}
