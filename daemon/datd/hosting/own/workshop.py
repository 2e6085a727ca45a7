"""Long work on archives: folders published and watched, forks, verification. Each is a job."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datd.archive.manifest import MANIFEST_PATH
from datd.errors import DatdError, FolderRefused, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.jobs import Job, Jobs
from datd.hosting.own.forking import Fork
from datd.hosting.own.imports import Imports
from datd.hosting.own.publishing import Publisher, manifest_text
from datd.hosting.services import Services
from datd.hosting.verification import verify
from datd.records import Forking

log = logging.getLogger(__name__)

Create = Callable[..., Awaitable[HostedArchive]]
Find = Callable[[str], HostedArchive]


class Workshop:
    """Begins jobs, and ends them.

    Attributes:
        jobs: What is under way, and what came of it.
        imports: Those from folders of this host.
    """

    def __init__(
        self, services: Services, publisher: Publisher, create: Create, find: Find
    ) -> None:
        """Begin with nothing to do.

        Args:
            services: What archives share.
            publisher: Writes archives.
            create: `Library.create`.
            find: `Library.find`.
        """
        self._services = services
        self._publisher = publisher
        self._create = create
        self._find = find
        self.jobs = Jobs(services.spawn, services.wall_clock, self._tell)
        self.imports = Imports(services, publisher, self.jobs)

    async def start(self, archives: Sequence[HostedArchive]) -> None:
        """The daemon has started: go on with what was cut short, look at watched folders.

        READY does not wait for any of them.
        """
        for archive in archives:
            try:
                if archive.record.importing:
                    await self.imports.start(archive)
                if archive.record.forking is not None:
                    self.go_on(archive)
            except DatdError as error:
                # One archive, or too many of them, must not keep the daemon from starting.
                log.warning("%s: not gone on with: %s", archive.key.discovery_key, error)
            self.imports.follow(archive)

    async def close(self) -> None:
        """The daemon ends: so does all work, to be gone on with where that is possible."""
        await self.imports.close()
        await self.jobs.close()

    def _tell(self, job: Job) -> None:
        fields = {"job": job.id, "work": job.kind}
        if job.state == "running":
            self._services.events.tell("job.started", job.archive, **fields)
            return
        self._services.events.tell(
            "job.ended", job.archive, **fields, state=job.state, text=job.text, error=job.error
        )

    def watch(self, archive: HostedArchive) -> None:
        """Whether an archive's folder is watched has changed."""
        self.imports.leave(archive)
        self.imports.follow(archive)

    async def cancel(self, job: Job, archive: HostedArchive | None) -> None:
        """End a job; what it did so far stays, and is not gone on with.

        Args:
            job: Which.
            archive: What it works on, if that is still hosted.
        """
        await self.jobs.cancel(job)
        if job.kind == "import" and archive is not None:
            await self.imports.give_up(archive)
        if job.kind == "fork" and archive is not None:
            await archive.change(Changes({"forking": None}))

    async def forget(self, archive: HostedArchive) -> None:
        """An archive is being removed: end all work on it."""
        self.imports.leave(archive)
        await self.jobs.cancel_all(archive.key)
        await self._services.events.settle()

    async def publish(
        self,
        folder: str,
        fields: dict[str, str],
        *,
        chunking: str,
        watch: bool,
        **settings: Any,
    ) -> HostedArchive:
        """Make a new archive of a folder of this host. It fills in the background.

        Args:
            folder: Its path, as somebody gave it.
            fields: What its `dat.json` shall say; written into the folder, as `dat create` does,
                since the archive is to be like the folder.
            chunking: How files are cut.
            watch: Whether changes there are published as they happen.
            settings: As in `Library.create`.

        Raises:
            FolderRefused: It may not be published, or has a `dat.json` of its own.
            ArchiveExists, StorageError: As `Library.create`.
            Busy: Too much is under way.
        """
        self.jobs.require_room()
        source = await asyncio.to_thread(self._services.roots.folder, folder)
        if fields:
            await asyncio.to_thread(_require_no_manifest, source)
        archive = await self._create(chunking=chunking, source=source, watch=watch, **settings)
        await self.begin(archive, fields)
        return archive

    async def begin(self, archive: HostedArchive, fields: dict[str, str]) -> None:
        """Have a new archive be filled from its folder; again, if that was cut short.

        Args:
            archive: Published from a folder.
            fields: What the folder's `dat.json` shall say, unless it has one by now.

        Raises:
            FolderRefused: It has none, or takes no `dat.json`.
            Busy: Too much is under way.
            StorageError: The disk refuses.
        """
        if fields and archive.record.source is not None:
            whole = {"title": "", "description": "", "url": archive.key.link} | fields
            folder = Path(archive.record.source)
            await asyncio.to_thread(_write_manifest, folder, manifest_text(whole))
        await self.imports.start(archive)
        self.imports.follow(archive)

    async def fork(
        self,
        source: HostedArchive,
        version: int,
        fields: dict[str, str],
        *,
        chunking: str,
        **settings: Any,
    ) -> tuple[HostedArchive, Job]:
        """Make a new archive of our own, and copy a version of another one into it.

        A copy that is cut short, or fails, goes on at the next start, and when it is told to.

        Args:
            source: The original, ours or not.
            version: Number of the version.
            fields: What shall stand in its `/dat.json`, in place of what the original says.
            chunking: How files are cut that are written to it later.
            settings: As in `Library.create`.

        Returns:
            The new archive, and the job that fills it.

        Raises:
            ArchiveExists, StorageError: As `Library.create`.
            Busy: Too much is under way.
        """
        self.jobs.require_room()
        forking = Forking(source.key.hex, version, fields)
        archive = await self._create(chunking=chunking, forking=forking, **settings)
        return archive, self.go_on(archive)

    def go_on(self, archive: HostedArchive) -> Job:
        """Copy into a fork what it lacks.

        Raises:
            Busy: Too much is under way.
        """
        running = self.jobs.of(archive.key, "fork")
        copy = partial(self._copy, archive)
        return running or self.jobs.start("fork", archive.key, copy, unit="bytes")

    async def _copy(self, archive: HostedArchive, job: Job) -> None:
        forking = archive.record.forking
        if forking is None:
            return
        try:
            source = self._find(forking.original)
        except UnknownArchive:
            raise UnknownArchive(
                f"the original, dat://{forking.original}, is not hosted any more: host it again, "
                "and `rescan` this copy"
            ) from None
        if forking.version == source.record.summary.version:
            job.total = source.record.summary.size
        async with self._publisher.writing(archive) as desk:
            await Fork(source, forking.version, desk, job).copy(forking.fields)
        await archive.change(Changes({"forking": None}))

    async def rescan(self, archive: HostedArchive) -> Job:
        """Bring an archive up to date with its folder; of a fork, copy what it lacks.

        Raises:
            FolderRefused, Busy: As `Imports.start`.
        """
        if archive.record.forking is not None:
            return self.go_on(archive)
        return await self.imports.start(archive)

    def verify(self, archive: HostedArchive) -> Job:
        """Have every block of an archive read and hashed; damaged ones are fetched again."""
        running = self.jobs.of(archive.key, "verify")
        return running or self.jobs.start(
            "verify", archive.key, partial(verify, archive), unit="blocks"
        )


def _require_no_manifest(folder: Path) -> None:
    """Look before an archive is made that would be there without its import."""
    if os.path.lexists(folder / MANIFEST_PATH[1:]):
        raise FolderRefused(
            f"{str(folder)!r} has a dat.json, which says title and description: change it there"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FolderRefused(
            f"{str(folder)!r} takes no dat.json, since it cannot be written: give no title and no "
            "description"
        )


def _write_manifest(folder: Path, text: bytes) -> None:
    path = folder / MANIFEST_PATH[1:]
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
        except OSError:
            path.unlink()  # half of it would be taken for somebody's own
            raise
    except FileExistsError:
        pass  # ours, of a request that was cut short; or somebody's, which is not overwritten
    except OSError as error:
        raise FolderRefused(f"{str(folder)!r} takes no dat.json: {error.strerror}") from error
