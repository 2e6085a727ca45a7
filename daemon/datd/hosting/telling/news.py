"""What there is to tell of one archive: its state is looked at, and what is new becomes events."""

import logging
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from datd.books.events import Mark
from datd.catalogue import Write
from datd.errors import ForkError
from datd.hosting.changes import Changes
from datd.hosting.keeping import census
from datd.hosting.services import Services
from datd.records import Record

if TYPE_CHECKING:
    from datd.hosting.live_feed import LiveFeed
    from datd.hosting.open_archive import OpenArchive

log = logging.getLogger(__name__)

# Settings, by their names in the record, under the names that the API has for them.
_NAMES: Final = {
    "name": "name",
    "tags": "tags",
    "mode": "mode",
    "include": "include",
    "pinned": "version",
    "networks": "networks",
    "shortname": "shortname",
    "domain": "domain",
    "peers": "peers",
    "source": "source",
    "watch": "watch",
    "import_rules": "import_rules",
    "version_tags": "version_tags",
    "web_sources": "web_sources",
    "writable": "writable",
    "location": "location",
}
# A list of what a failing disk took, for people; all of them are counted.
_MAX_BLOCKS: Final = 100


class News:
    """What was told of one archive last, and what is to be told when something changes."""

    def __init__(self, record: Record, services: Services, recount: Callable[[], None]) -> None:
        """Nothing is told yet.

        Args:
            record: The archive's.
            services: Its events are what is told to.
            recount: Has counted anew what is here, as there is less of it.
        """
        self._recount = recount
        self._record = record
        self._events = services.events
        self._traffic = services.traffic
        self._mark = services.events.take_mark(record.key)
        self._failed = False

    def grown(self, opened: "OpenArchive | None") -> None:
        """Metadata came, or was written: there may be a newer version."""
        if opened is None:
            return
        version = opened.wants.newest(opened)
        # After a crash a feed may be shorter than what was told: then it comes again.
        if version > self._mark.version:
            self._events.version(self._record.key, self._mark.version, version)
            self._mark = Mark(version, self._mark.complete)

    def counted(self, opened: "OpenArchive") -> None:
        """It is known anew what is here: that may be everything."""
        self.grown(opened)
        summary = self._record.summary
        version = summary.version
        if summary.complete and 0 < version != self._mark.complete:
            self._mark = Mark(self._mark.version, version)
            self._events.tell(
                "archive.complete",
                self._record.key,
                version=version,
                files=summary.files,
                size=summary.size,
            )

    def failed(self, error: str) -> None:
        """Its files cannot be used."""
        if not self._failed:
            self._failed = True
            log.error("%s: %s", self._record.key.discovery_key, error)
            self._events.tell("archive.error", self._record.key, error=error)

    def recovered(self) -> None:
        """Its files can be used, again if they could not before."""
        if self._failed:
            self._failed = False
            self._events.tell("archive.recovered", self._record.key)

    def damaged(self, opened: "OpenArchive", live: "LiveFeed", blocks: list[int]) -> None:
        """Blocks turned out to be damaged on the disk."""
        self._traffic.damaged += len(blocks)
        self._events.tell(
            "archive.damaged",
            self._record.key,
            feed="metadata" if live is opened.metadata else "content",
            count=len(blocks),
            blocks=blocks[:_MAX_BLOCKS],
        )
        self._recount()

    def change(self, before: Changes) -> Write | None:
        """Writes the event about settings that were exchanged; None if there is nothing to tell."""
        record, events = self._record, self._events
        changed = {name for name, old in before.fields.items() if getattr(record, name) != old}
        if "paused" in changed:
            return events.beside(
                "archive.paused" if record.paused else "archive.resumed", record.key
            )
        shown = sorted(_NAMES[name] for name in changed & _NAMES.keys())
        return events.beside("archive.changed", record.key, changed=shown) if shown else None

    def conflict(
        self, feed: bytes, error: ForkError, kept: tuple[int, bytes, bytes] | None
    ) -> Write:
        """Put the proof of two histories into the record; gives what writes the event about it."""
        record = self._record
        log.error("%s: two histories are signed", record.key.discovery_key)
        record.conflict = census.conflict(feed, error, kept)
        return self._events.beside("archive.conflict", record.key, feed=feed.hex())


def of_arrival(record: Record, services: Services, beside: Write | None = None) -> Write:
    """Writes the event about an archive that is hosted from now on, and what belongs to it."""
    tell = services.events.beside(
        "archive.added",
        record.key,
        name=record.name,
        tags=list(record.tags),
        mode=record.mode,
        writable=record.writable,
    )

    def write(database: sqlite3.Connection) -> None:
        tell(database)
        if beside is not None:
            beside(database)

    return write


def of_removal(record: Record, services: Services) -> Write:
    """Writes the event about an archive that is hosted no more."""
    return services.events.beside(
        "archive.removed", record.key, name=record.name, tags=list(record.tags)
    )
