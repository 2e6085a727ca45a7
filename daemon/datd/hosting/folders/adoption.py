"""Takes over archives that other programs made in folders of this host, in place or as a copy.

In place, the folder stays what it is, and the other program can go on with it whenever we have it
closed; it is never deleted, not even with the archive. A copy leaves it untouched.

Source: sleep.md sections 1, 4 and 10; decisions 13, 16, 20 and 21.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from datd import crypto
from datd.errors import Busy, DatdError, FolderRefused, StorageError
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.folders.filling import Filling
from datd.hosting.folders.folder_lock import FolderLock
from datd.hosting.folders.lender import Lender, copy_feeds
from datd.hosting.folders.place import bitfields, is_folder_of_files, require_usable
from datd.hosting.jobs import Job
from datd.hosting.own.workshop import Workshop
from datd.hosting.services import Services
from datd.hosting.settings import AS_DAT_DOES
from datd.keys import Key
from datd.records import ImportRules, Record
from datd.storage import layout
from datd.storage.layout import LayoutName
from datd.types import Address
from datd.words import counted

_SECRET_SIZE: Final = 64

TakeIn = Callable[..., Awaitable[HostedArchive]]
TakeSecret = Callable[[HostedArchive, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Found:
    """An archive in a folder, as far as it can be told without opening it.

    Attributes:
        folder: Where.
        layout: How it lies there.
        key: Its key.
        secret: Its 64-byte secret key, if that is at hand and may be used.
        owned: Whether this is the folder that its owner publishes it from.
    """

    folder: Path
    layout: LayoutName
    key: Key
    secret: bytes | None
    owned: bool


class Adoption:
    """Takes over folders."""

    def __init__(
        self,
        services: Services,
        workshop: Workshop,
        take_in: TakeIn,
        take_secret: TakeSecret,
        of_key: Callable[[Key], HostedArchive | None],
    ) -> None:
        """Take over nothing yet.

        Args:
            services: What archives share.
            workshop: Its jobs, and the imports from folders.
            take_in: `Library.take_in`.
            take_secret: `Library.take_secret`.
            of_key: The archive of a key, if it is hosted: then it is we who have its folder open.
        """
        self._services = services
        self._workshop = workshop
        self._take_in = take_in
        self._take_secret = take_secret
        self._of_key = of_key

    async def adopt(
        self,
        folder: str,
        *,
        copied: bool,
        described: bool,
        watch: bool,
        chunking: str,
        import_rules: ImportRules = AS_DAT_DOES,
        peers: Sequence[Address] = (),
        **settings: Any,
    ) -> HostedArchive | None:
        """Host the archive that lies in a folder; a job checks it, or copies it.

        Args:
            folder: Its path, as somebody gave it.
            copied: Take its feeds into the data folder, and leave the folder alone.
            described: Whether a title or description was asked for.
            watch: Whether changes there are published as they happen.
            chunking: How files are cut that are published from now on.
            import_rules: How a folder that is ours is imported.
            peers: Sources to try at once.
            settings: As in `Library.add`.

        Returns:
            The archive; None if there is none in the folder.

        Raises:
            FolderRefused: It may not be used, or not so.
            Busy: Another program has it open.
            ArchiveExists: It is hosted already, or the name or domain is taken.
        """
        services = self._services
        path = await asyncio.to_thread(services.roots.folder, folder)
        found = await asyncio.to_thread(look, path, services)
        if found is None:
            return None
        _require_sense(found, copied=copied, described=described, watch=watch)
        fresh = self._of_key(found.key) is None
        if not copied and fresh:
            await asyncio.to_thread(_require_unused, found)
        fields: dict[str, Any] = {
            "chunking": chunking,
            "watch": watch,
            "import_rules": import_rules,
        }
        if not copied:
            if found.layout == "dat":
                settings["mode"] = "latest"  # all versions of a file share one place there
            if found.secret is not None and fresh:
                await asyncio.to_thread(services.secrets.keep, found.secret)
            fields |= {
                "location": str(path),
                "layout": found.layout,
                "source": str(path) if found.owned else None,
                "writable": found.secret is not None,
                "dirty": True,  # it is looked over also if this ends before the job does
            }
        archive = await self._take_in(found.key, Changes(fields), peers=peers, **settings)
        if copied:
            self._begin_copy(archive, found)
        else:
            self._workshop.jobs.start(
                "adopt",
                archive.key,
                partial(self._check, archive),
                unit="bytes",
                text=f"checking what lies in {path}",
            )
        return archive

    async def hosted_elsewhere(self, folder: str) -> tuple[HostedArchive, Found] | None:
        """The archive that lies in a folder, if it is hosted already, in the data folder.

        Raises:
            FolderRefused: It may not be used.
        """
        path = await asyncio.to_thread(self._services.roots.folder, folder)
        found = await asyncio.to_thread(look, path, self._services)
        archive = None if found is None else self._of_key(found.key)
        if found is None or archive is None or archive.record.location is not None:
            return None
        return archive, found

    def copy_again(self, archive: HostedArchive, found: Found) -> None:
        """Copy into an archive what it lacks of a folder: a copy was cut short, or more came.

        Raises:
            Busy: Too much is under way.
        """
        for job in self._workshop.jobs.all():
            if job.archive == archive.key and job.copies == found.folder and job.state == "running":
                return
        self._begin_copy(archive, found)

    def _begin_copy(self, archive: HostedArchive, found: Found) -> None:
        job = self._workshop.jobs.start(
            "adopt",
            archive.key,
            partial(self._copy, archive, found),
            unit="bytes",
            text=f"copying what lies in {found.folder}",
        )
        job.copies = found.folder

    async def fill(self, archive: HostedArchive, folder: str) -> Job:
        """Take blocks of an archive from the files of a folder, by their hashes.

        Raises:
            FolderRefused: It may not be used.
            Busy: Too much is under way.
        """
        path = await asyncio.to_thread(self._services.roots.folder, folder)
        found = await asyncio.to_thread(look, path, self._services)
        if found is not None and found.key == archive.key and archive.record.location != str(path):
            work: Callable[[Job], Awaitable[None]] = partial(self._copy_feeds, archive, found)
        else:
            work = Filling(archive, path).run
        return self._workshop.jobs.start(
            "adopt", archive.key, work, unit="bytes", text=f"looking through {path}"
        )

    # ---- the jobs

    async def _check(self, archive: HostedArchive, job: Job) -> None:
        check = archive.place.check

        def tell(done: int, total: int) -> None:
            job.done, job.total = done, max(done, total)

        check.tell = tell
        # In a task of its own: to end a check that is under way, it has to be told.
        opening = self._services.spawn(_opened(archive, job))
        try:
            await asyncio.wait([opening])
        except asyncio.CancelledError:
            check.stopped = True
            opening.cancel()  # one that has not begun would begin as if nobody had told it
            await asyncio.wait([opening])
            raise
        if job.error is not None:
            raise StorageError(job.error)
        if archive.record.writable and archive.record.source is not None:
            await self._workshop.imports.start(archive)
            self._workshop.imports.follow(archive)

    async def _copy(self, archive: HostedArchive, found: Found, job: Job) -> None:
        await self._copy_feeds(archive, found, job)
        if found.secret is not None:
            await self._take_secret(archive, found.secret)

    async def _copy_feeds(self, archive: HostedArchive, found: Found, job: Job) -> None:
        lender = Lender(found.folder, found.layout, found.key, self._services.pool)
        await copy_feeds(lender, archive, job)


async def _opened(archive: HostedArchive, job: Job) -> None:
    """Open an archive, which checks it."""
    try:
        async with archive.opened() as opened:
            blocks = sum(live.feed.present_blocks for live in opened.live_feeds)
            job.text = f"{counted(blocks, 'block')} checked: all is as it should be"
    except DatdError as error:
        job.error = str(error)


def look(folder: Path, services: Services) -> Found | None:
    """See whether an archive lies in a folder, and whether its secret key is at hand.

    Raises:
        FolderRefused: One lies there that cannot be used in place.
    """
    try:
        folder_text = str(folder)
        folder_text.encode()
        how = layout.detect(folder)
        if how is None:
            return None
        files = _files(folder, how, services)
        try:
            raw = files.metadata.key.read(0, crypto.KEY_SIZE)
            if len(raw) != crypto.KEY_SIZE:
                if how == "dat":
                    raise FolderRefused(
                        f"{folder_text!r} has a folder .dat without the key of an archive: "
                        "remove it, or publish the folder as a new archive"
                    )
                return None  # files that are called so, and no archive
            require_usable(folder, how, services.roots)
            key = Key(raw)
            secret = files.metadata.secret_key.read(0, _SECRET_SIZE)
        finally:
            files.close()
        owned = how == "dat" and (folder / ".dat" / "metadata.ogd").exists()
    except UnicodeEncodeError:
        raise FolderRefused("the path of this folder is no valid UTF-8: rename it") from None
    except StorageError as error:
        raise FolderRefused(str(error)) from error
    return Found(folder, how, key, secret if _fits(secret, key) else None, owned)


def _files(folder: Path, how: LayoutName, services: Services) -> layout.ArchiveFiles:
    if how == "dat":
        keys = services.owner_keys
        return layout.dat(folder, services.pool, secret_keys=keys, locate=lambda byte: None)
    return (layout.flat if how == "flat" else layout.hyperdrive)(folder, services.pool)


def _require_unused(found: Found) -> None:
    try:
        FolderLock(bitfields(found.folder, found.layout)).release()
    except StorageError as error:
        raise Busy(str(error)) from error


def _fits(secret: bytes, key: Key) -> bool:
    if len(secret) != _SECRET_SIZE:
        return False
    return crypto.key_pair(secret[: crypto.KEY_SIZE]) == (key.raw, secret)


def _require_sense(found: Found, *, copied: bool, described: bool, watch: bool) -> None:
    if described:
        raise FolderRefused(
            "an archive lies in this folder already: its title stands in its own dat.json"
        )
    if watch and (copied or not found.owned or found.secret is None):
        raise FolderRefused(
            "only a folder whose archive is ours, in place, can be watched: nothing would be "
            "published from this one"
        )


def require_possible(record: Record, changes: Changes) -> None:
    """See to it that an archive whose content are plain files keeps what such can hold.

    Raises:
        FolderRefused: There is one place for all versions of a file: the newest one's.
    """
    fields = changes.fields
    if not is_folder_of_files(record):
        return
    if fields.get("mode", "latest") != "latest" or fields.get("pinned") is not None:
        raise FolderRefused(
            "the files of this archive lie in a folder, which holds the newest version only: "
            "copy it into the data folder for anything else"
        )
