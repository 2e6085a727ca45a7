"""The kinds of events, and what somebody wants to hear of. Values only.

Names are stable: programs compare them. `datctl.models_events` says what each one tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from datd.books.events import Event
from datd.keys import Key

# Those in the journal.
KEPT: Final = (
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
)
# Made from the archive's own history when somebody follows a path: what a version changed is in its
# metadata already, and a version may change a million files.
OF_FILES: Final = ("file.put", "file.deleted", "files.unknown")
# Said to one reader: what it asked for is not kept any more.
LOST: Final = "events.lost"

KINDS: Final = (*KEPT, *OF_FILES, LOST)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader of events is: behind event `id`, or within it, behind one of its files.

    Attributes:
        id: Number of an event.
        entry: 0 behind the whole event. Else the last entry of the metadata feed that was told of;
            the rest of the files of event `id`, and that event, come next.
    """

    id: int
    entry: int = 0

    def __str__(self) -> str:
        return f"{self.id}.{self.entry}" if self.entry else str(self.id)

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what `str` gave.

        Raises:
            ValueError: It is nothing of the kind.
        """
        first, dot, rest = text.partition(".")
        numbers = [first, rest] if dot else [first]
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise ValueError(text)
        # The largest number that SQLite can be asked for has 19 digits.
        if any(len(number) > 18 for number in numbers):
            raise ValueError(text)
        return cls(*(int(number) for number in numbers))

    @property
    def whole(self) -> int:
        """The last event that was told of completely."""
        return self.id - 1 if self.entry else self.id


@dataclass(frozen=True, slots=True)
class Told:
    """An event on its way to a reader.

    Attributes:
        position: Where the reader is behind it.
        kind: Which.
        at: Seconds since 1970.
        archive: Key of the archive it is about, hex.
        fields: What else it tells.
    """

    position: Position
    kind: str
    at: float
    archive: str | None
    fields: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """The event as programs get it, in JSON."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat().replace("+00:00", "Z")
        return {
            "id": str(self.position),
            "kind": self.kind,
            "at": at,
            "archive": self.archive,
            **self.fields,
        }


@dataclass(frozen=True, slots=True)
class Interest:
    """What somebody wants to hear of.

    Attributes:
        archive: Only this one.
        path: Also files, those at or below this path of that archive.
        kinds: Only these; an empty tuple: all.
        tag: Only archives with this tag.
    """

    archive: Key | None = None
    path: str | None = None
    kinds: tuple[str, ...] = ()
    tag: str | None = None

    def wants_kind(self, kind: str) -> bool:
        """Whether events of a kind are wanted."""
        return not self.kinds or kind in self.kinds

    def wants(self, event: Event, tags_of: Callable[[str], Sequence[str]]) -> bool:
        """Whether an event is wanted as it is; its files are another question.

        Args:
            event: The event.
            tags_of: Tags of an archive, by its key in hex.
        """
        return self.wants_kind(event.kind) and self.concerns(event, tags_of)

    def wants_files(self, event: Event) -> bool:
        """Whether the files that a version changed are wanted with it."""
        if event.kind != "archive.version" or self.path is None:
            return False
        if self.archive is None or event.archive != self.archive.hex:
            return False
        return any(self.wants_kind(kind) for kind in OF_FILES)

    def concerns(self, event: Event, tags_of: Callable[[str], Sequence[str]]) -> bool:
        """Whether an event is about an archive of interest."""
        if self.archive is not None and event.archive != self.archive.hex:
            return False
        if self.tag is None:
            return True
        # Of an archive that is gone, the event that says so has the tags.
        tags = event.fields.get("tags")
        if event.archive is None:
            return False
        return self.tag in (tags if isinstance(tags, list) else tags_of(event.archive))

    @property
    def stored_kinds(self) -> tuple[str, ...]:
        """Kinds of which the journal has to be asked; none named: all."""
        if not self.kinds:
            return ()
        files = self.path is not None and any(kind in OF_FILES for kind in self.kinds)
        kept = [kind for kind in self.kinds if kind in KEPT]
        return tuple({*kept, *(["archive.version"] if files else [])})


def named_kinds(patterns: Sequence[str]) -> tuple[str, ...]:
    """The kinds that somebody names, one by one or as in `archive.*`.

    Raises:
        ValueError: There is no such kind; the text is the one that was meant.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        stem = pattern.removesuffix("*")
        fits = [
            kind
            for kind in KINDS
            if kind == pattern or (stem != pattern and stem.endswith(".") and kind.startswith(stem))
        ]
        if not fits:
            raise ValueError(pattern)
        found.update(dict.fromkeys(fits))
    return tuple(found)
