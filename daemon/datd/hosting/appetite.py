"""Whether an archive fetches: as long as there is room, and again when there is room again."""

import logging

from datd.errors import NoRoom, StorageError
from datd.hosting.open_archive import OpenArchive
from datd.hosting.services import Services
from datd.records import Record

log = logging.getLogger(__name__)

# C-8: a disk that took nothing is not tried again before.
FULL_SECONDS = 60.0


class Appetite:
    """One archive's wish for more."""

    def __init__(self, record: Record, services: Services) -> None:
        self._record = record
        self._services = services
        self._full_until = float("-inf")

    def may_store(self, opened: OpenArchive) -> bool:
        """Whether there is room for more; if not, nothing more is asked for (T-29)."""
        if opened.no_room is not None:
            return False
        lacking = self._lacking(opened)
        if lacking is not None:
            self._stop_fetching(opened, lacking)
        return lacking is None

    def refused(self, opened: OpenArchive, error: StorageError) -> None:
        """The disk took nothing: fetch no more, and let it be for a while (C-8, C-13)."""
        self._full_until = self._services.clock() + FULL_SECONDS
        if opened.no_room is None:
            self._stop_fetching(opened, str(error))

    def look_for_room(self, opened: OpenArchive) -> None:
        """Fetch again if there is room again."""
        if opened.no_room is None or self._services.clock() < self._full_until:
            return
        if self._lacking(opened) is None:
            opened.no_room = None
            self._services.events.tell("disk.room", self._record.key)
            opened.wants.apply(opened)

    def _stop_fetching(self, opened: OpenArchive, why: str) -> None:
        log.warning("%s fetches nothing more: %s", self._record.key.discovery_key, why)
        opened.no_room = why
        self._services.events.tell("disk.full", self._record.key, reason=why)
        for live in opened.live_feeds:
            live.picker.want([])
            live.refuse(NoRoom(why))

    def _lacking(self, opened: OpenArchive) -> str | None:
        held = sum(live.present_bytes for live in opened.live_feeds)
        full = self._services.room.refusal(held)
        return full if full is not None else self._services.allowance(self._record, held)
