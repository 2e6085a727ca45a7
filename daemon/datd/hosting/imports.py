"""Folders of this host as archives: imported in the background, resumed after a crash, watched."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

from datd.archive.writer import Committed
from datd.errors import ConfigError, DatdError, FolderRefused, StorageError, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.jobs import Job, Jobs
from datd.hosting.publishing import Desk, Publisher
from datd.hosting.services import Services
from datd.hosting.watching import FolderWatch
from datd.importing.importer import Importer
from datd.importing.progress import Progress

log = logging.getLogger(__name__)

# An import waits for whoever writes the archive just then as long as that takes.
_PATIENCE = 24 * 3600.0


class Imports:
    """The imports of all archives: one at a time for each."""

    def __init__(self, services: Services, publisher: Publisher, jobs: Jobs) -> None:
        self._services = services
        self._publisher = publisher
        self._jobs = jobs
        self._again: set[HostedArchive] = set()
        self._closing = False
        self._watch = FolderWatch(self._changed)
        self._watching: asyncio.Task[None] | None = None
        self._watched: dict[Path, list[HostedArchive]] = {}

    async def start(self, archive: HostedArchive) -> Job:
        """Bring an archive up to date with its folder, as it is from now on.

        Raises:
            FolderRefused: It has none.
            Busy: Too much is under way.
        """
        if self._closing or archive.removed:
            raise UnknownArchive("this archive is not hosted any more")
        if archive.record.source is None:
            raise FolderRefused("this archive is not published from a folder of this host")
        running = self._jobs.of(archive.key, "import")
        if running is not None:
            self._again.add(archive)
            return running
        if not archive.record.importing:
            await archive.change(Changes({"importing": True}))
        return self._jobs.start(
            "import",
            archive.key,
            partial(self._import, archive),
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
            self._watch.add(Path(source))
        if self._watching is None:
            self._watching = self._services.spawn(self._watch.run())

    def leave(self, archive: HostedArchive) -> None:
        """Leave an archive as it is, whatever changes in its folder."""
        folder = Path(archive.record.source or "")
        archives = self._watched.get(folder, [])
        if archive in archives:
            archives.remove(archive)
            if not archives:
                del self._watched[folder]
                self._watch.remove(folder)

    def _changed(self, folder: Path) -> None:
        for archive in self._watched.get(folder, ()):
            self._services.spawn(self._start_unasked(archive))

    async def _start_unasked(self, archive: HostedArchive) -> None:
        try:
            await self.start(archive)
        except DatdError as error:
            log.warning("%s: not imported again: %s", archive.key.discovery_key, error)

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

    async def _import(self, archive: HostedArchive, job: Job) -> None:
        try:
            while True:
                self._again.discard(archive)
                folder = await asyncio.to_thread(
                    self._services.roots.folder, archive.record.source or ""
                )
                async with self._publisher.writing(archive, wait=_PATIENCE) as desk:
                    await self._bring_up_to_date(desk, folder, job)
                if archive not in self._again:
                    break
        except BaseException:
            self._again.discard(archive)
            if not self._closing:
                with suppress(DatdError):
                    await archive.change(Changes({"importing": False}))
            raise
        await archive.change(Changes({"importing": False}))

    async def _bring_up_to_date(self, desk: Desk, folder: Path, job: Job) -> None:
        opened, wall_clock = desk.opened, self._services.wall_clock
        record = desk.archive.record

        def begun() -> Importer:
            try:
                return Importer(
                    opened.archive,
                    folder,
                    now=lambda: int(wall_clock() * 1000),
                    chunking="content" if record.chunking == "content" else "fixed",
                )
            except (StorageError, ConfigError) as error:
                raise FolderRefused(str(error)) from error

        importer = await opened.run(begun)

        def advance() -> Committed | None:
            try:
                return importer.advance()
            except StorageError as error:
                if not folder.is_dir():
                    # The archive's own disk is as good as before.
                    raise FolderRefused(f"{str(folder)!r} is gone: {error}") from error
                raise

        try:
            while await desk.grow(advance) is not None:
                _tell(job, importer.progress)
            _tell(job, importer.progress)
        finally:
            await opened.lane.run(importer.close)
        job.text = _outcome(importer.progress)


def _tell(job: Job, progress: Progress) -> None:
    job.done, job.total = progress.bytes_done, progress.bytes_total
    job.text = f"{progress.files_done} of {progress.files_total} files"
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
    return f"{progress.files_total} files: {', '.join(told) or 'nothing new'}"
