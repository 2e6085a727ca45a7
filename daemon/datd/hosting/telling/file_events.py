"""Which files a version changed, for whoever follows a path, and an eye on new versions meanwhile.

Nothing of this is in the journal: an archive's metadata tells it, at any time, and it is asked for
no more than the path takes. A sparse archive fetches just that.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from datd.archive.entries import Entry
from datd.errors import DatdError, Timeout
from datd.hosting import newest
from datd.hosting.archive import HostedArchive
from datd.hosting.open_archive import OpenArchive
from datd.hosting.versions import Versions
from datd.keys import Key

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

# Files in one go: what is read of them is sent before the next ones are looked at.
PAGE: Final = 100
# One wait for peers; between two of them the reader is told that we are still there.
WAIT_SECONDS: Final = 5.0
# Without peers for so many waits, what a version changed is given up, and that is told.
MAX_WAITS: Final = 12
# An archive that is not hosted, could not be opened, or was closed, is looked at again after this.
AGAIN_SECONDS: Final = 5.0
# Somebody who follows a path wants to hear of the next version, from whoever has it.
_SETTLE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes of one version, or of several in a row.

    Attributes:
        changes: Number of the entry, kind of the event and its fields; oldest first.
        following: Ask on behind this entry; None at the end.
        missing: Why it is not known whether those are all, if it is not.
    """

    changes: list[tuple[int, str, dict[str, Any]]]
    following: int | None
    missing: str | None = None


class FileEvents:
    """Looks up what changed at or below a path, and keeps an eye on archives meanwhile."""

    def __init__(
        self, versions: Versions, of_key: Callable[[Key], HostedArchive | None], spawn: Spawn
    ) -> None:
        """Nothing is looked at before somebody follows a path.

        Args:
            versions: Know the history of archives.
            of_key: The archive with a key, if it is hosted.
            spawn: Runs a coroutine in a task.
        """
        self._versions = versions
        self._of_key = of_key
        self._spawn = spawn
        # By key: an archive that is removed and added again is another one of the same name.
        self._watched: dict[Key, tuple[int, asyncio.Task[None]]] = {}

    async def page(self, key: Key, path: str, since: int, until: int) -> Page | None:
        """What changed behind one version, up to another; None if no peer told in time.

        Args:
            key: The archive.
            path: File or folder.
            since: Changes up to this version are known.
            until: The last version of interest.
        """
        archive = self._of_key(key)
        if archive is None:
            return Page([], None, "the archive is not hosted any more")
        try:
            found = await self._versions.history(
                archive, path, since=since, until=until, limit=PAGE, wait=WAIT_SECONDS
            )
        except Timeout:
            return None
        except DatdError as error:
            return Page([], None, str(error))
        if not found.complete:
            # Far more changes than can be followed one by one: the index is being made, or never
            # will be, since not all of the metadata is here.
            return Page(
                [_change(entry) for entry in found.entries],
                None,
                "there are more changes than could be looked up; see the archive's history",
            )
        return Page([_change(entry) for entry in found.entries], found.following)

    @asynccontextmanager
    async def watching(self, key: Key) -> AsyncIterator[None]:
        """Look for new versions of an archive while it is hosted, for the time of an `async with`.

        Those who follow are few (L-22, and so many webhooks), so each may have its task here.
        """
        count, task = self._watched.get(key) or (0, self._spawn(self._watch(key)))
        self._watched[key] = (count + 1, task)
        try:
            yield
        finally:
            count, task = self._watched.pop(key)
            if count > 1:
                self._watched[key] = (count - 1, task)
            else:
                task.cancel()

    async def close(self) -> None:
        """End; nobody follows anything any more."""
        tasks = [task for _, task in self._watched.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, key: Key) -> None:
        """Keep an archive open, and fetch the newest entry whenever peers tell of one."""
        while True:
            archive = self._of_key(key)
            try:
                if archive is not None:
                    await _watch_one(archive)
            except DatdError:
                pass  # nobody is there yet, or it was closed meanwhile
            except Exception:
                # Nobody waits for this task, and its fault must not end the daemon.
                log.exception("watching %s failed", key.discovery_key)
            await asyncio.sleep(AGAIN_SECONDS)


async def _watch_one(archive: HostedArchive) -> None:
    async with archive.opened() as opened:
        try:
            await _look_for_news(opened)
        finally:
            opened.metadata.watched = False


async def _look_for_news(opened: OpenArchive) -> None:
    opened.metadata.watched = True
    while True:
        known = opened.metadata.picker.known_length
        await newest.settle(opened, None, _SETTLE_SECONDS)
        if opened.metadata.picker.known_length == known:
            await opened.metadata.longer()


def _change(entry: Entry) -> tuple[int, str, dict[str, Any]]:
    path = "/" + "/".join(entry.components)
    fields: dict[str, Any] = {"path": path, "version": entry.seq}
    if entry.stat is None:
        return entry.seq, "file.deleted", fields
    stat = entry.stat
    fields["type"] = "directory" if stat.is_directory else "file" if stat.is_file else "other"
    fields["size"] = stat.size
    return entry.seq, "file.put", fields
