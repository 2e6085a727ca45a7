"""Folders of this host as archives: imported in the background, resumed after a crash, watched."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

from datd.errors import ConfigError, DatdError, FolderRefused, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.jobs import Job, Jobs
from datd.hosting.own.publishing import Desk, Publisher
from datd.hosting.own.watching import FolderWatch
from datd.hosting.services import Services
from datd.importing.importer import Importer
from datd.importing.noticed import MOST_NOTICED
from datd.importing.progress import Progress
from datd.importing.scan import FollowLinks
from datd.words import counted

log = logging.getLogger(__name__)

# An import waits for whoever writes the archive just then as long as that takes.
_PATIENCE = 24 * 3600.0


class Imports:
    """The imports of all archives: one at a time for each."""

    def __init__(self, services: Services, publisher: Publisher, jobs: Jobs) -> None:
        self._services = services
        self._publisher = publisher
        self._jobs = jobs
        # What is to be looked at once more, and what was noticed there meanwhile.
        self._again: dict[HostedArchive, set[str]] = {}
        self._closing = False
        self._watch = FolderWatch(self._changed)
        self._watching: asyncio.Task[None] | None = None
        self._watched: dict[Path, list[HostedArchive]] = {}

    async def start(self, archive: HostedArchive, noticed: Collection[str] = ()) -> Job:
        """Bring an archive up to date with its folder, as it is from now on.

        Args:
            archive: Which.
            noticed: Files in there that changed: they are imported before the others are looked at.

        Raises:
            FolderRefused: It has none.
            Busy: Too much is under way.
        """
        if self._closing or archive.removed:
            raise UnknownArchive("this archive is not hosted any more")
        if archive.record.source is None:
            raise FolderRefused("this archive is not published from a folder of this host")
        if not archive.record.importing and self._jobs.of(archive.key, "import") is None:
            self._jobs.require_room()
            await archive.change(Changes({"importing": True}))
        running = self._jobs.of(archive.key, "import")
        if running is not None:
            self._again.setdefault(archive, set()).update(noticed)
            return running
        return self._jobs.start(
            "import",
            archive.key,
            partial(self._import, archive, set(noticed)),
            unit="bytes",
            text=f"looking through {archive.record.source}",
        )

    def follow(self, archive: HostedArchive) -> None:
        """Publish changes of an archive's folder as they happen, those since the last time first.

        Nothing happens if that is done already, or not asked for.
        """
        source = archive.record.source
        if not archive.record.watch or source is None or archive.removed:
            return
        archives = self._watched.setdefault(Path(source), [])
        if archive not in archives:
            archives.append(archive)
            shown = any(not one.record.import_rules.ignore_hidden for one in archives)
            self._watch.add(Path(source), ignore_hidden=not shown)
        if self._watching is None:
            self._watching = self._services.spawn(self._keep_watch())

    def leave(self, archive: HostedArchive) -> None:
        """Leave an archive as it is, whatever changes in its folder."""
        folder = Path(archive.record.source or "")
        archives = self._watched.get(folder, [])
        if archive in archives:
            archives.remove(archive)
            if not archives:
                del self._watched[folder]
                self._watch.remove(folder)

    async def _keep_watch(self) -> None:
        try:
            await self._watch.run()
        except Exception:
            # Nobody waits for this task, and its fault must not end the daemon.
            log.exception("watching folders failed: until the next start none is watched")

    def _changed(self, folder: Path, paths: Collection[str]) -> None:
        for archive in self._watched.get(folder, ()):
            self._services.spawn(self._start_unasked(archive, paths))

    async def _start_unasked(self, archive: HostedArchive, paths: Collection[str]) -> None:
        try:
            await self.start(archive, paths)
        except DatdError as error:
            log.warning("%s: not imported again: %s", archive.key.discovery_key, error)
        except Exception:
            log.exception("%s: not imported again", archive.key.discovery_key)  # as above

    async def close(self) -> None:
        """The daemon ends: imports that are cut short go on at its next start."""
        self._closing = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def give_up(self, archive: HostedArchive) -> None:
        """An import was cancelled, perhaps before its turn came: it is not gone on with.

        Raises:
            StorageError: The catalogue cannot be written.
        """
        if archive.record.importing and self._jobs.of(archive.key, "import") is None:
            await archive.change(Changes({"importing": False}))

    async def _import(self, archive: HostedArchive, noticed: set[str], job: Job) -> None:
        try:
            while True:
                noticed |= self._again.pop(archive, set())
                folder = await asyncio.to_thread(
                    self._services.roots.folder, archive.record.source or ""
                )
                async with self._publisher.writing(archive, wait=_PATIENCE) as desk:
                    await self._bring_up_to_date(desk, folder, noticed, job)
                if archive not in self._again:
                    await archive.change(Changes({"importing": False}))
                    if archive not in self._again:
                        break
                    # Somebody asked for it while that was written down.
                    await archive.change(Changes({"importing": True}))
                noticed.clear()
        except BaseException as error:
            self._again.pop(archive, None)
            if not self._closing:
                with suppress(DatdError):
                    await archive.change(Changes({"importing": False}))
                later = self._again.pop(archive, None)
                if later is not None and not isinstance(error, asyncio.CancelledError):
                    # Somebody asked for it while that was written down: nobody else would look.
                    self._services.spawn(self._start_unasked(archive, later))
            raise

    async def _bring_up_to_date(
        self, desk: Desk, folder: Path, noticed: Collection[str], job: Job
    ) -> None:
        progress = Progress()
        if 0 < len(noticed) <= MOST_NOTICED:
            progress = await self._run(desk, folder, noticed, job)
        whole = await self._run(desk, folder, None, job)
        whole.add(progress)
        job.text = _outcome(whole)

    async def _run(
        self, desk: Desk, folder: Path, noticed: Collection[str] | None, job: Job
    ) -> Progress:
        opened, wall_clock = desk.opened, self._services.wall_clock
        record, plain = desk.archive.record, desk.opened.place.plain
        rules, roots = record.import_rules, self._services.roots

        made: list[Importer] = []

        def begin() -> None:
            try:
                importer = Importer(
                    opened.archive,
                    folder,
                    now=lambda: int(wall_clock() * 1000),
                    chunking="content" if record.chunking == "content" else "fixed",
                    ignore_hidden=rules.ignore_hidden,
                    follow_links=cast(FollowLinks, rules.follow_links),
                    delete=rules.delete,
                    noticed=noticed,
                    may_follow=roots.allow,
                    # Where the folder is the content: its bytes are read before entries tell.
                    begins=None if plain is None else plain.begin,
                )
            except ConfigError as error:
                raise FolderRefused(str(error)) from error
            made.append(importer)

        def end() -> None:
            for importer in made:
                importer.close()

        try:
            await opened.run(begin)
            (importer,) = made
            while await desk.grow(importer.advance) is not None:
                if noticed is None:
                    _tell(job, importer.progress)
        finally:
            # Comes behind `begin` in the lane, also where nobody waited for that any more.
            await opened.lane.run(end)
        return importer.progress


def _tell(job: Job, progress: Progress) -> None:
    job.done, job.total = progress.bytes_done, progress.bytes_total
    job.text = f"{progress.files_done} of {counted(progress.files_total, 'file')}"
    for path, why, *_ in progress.skipped[len(job.skipped) :]:
        job.skip(f"/{path}", why)


def _outcome(progress: Progress) -> str:
    counts = {
        "added": progress.added,
        "changed": progress.changed,
        "removed": progress.removed,
        "left out": progress.skipped_total,
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{counted(progress.files_total, 'file')}: {', '.join(told) or 'nothing new'}"
