"""A folder of this host kept like a folder of an archive, version after version.

Only what changed is written. The first time, files of the same names are replaced, as by any copy;
from then on, replaced or removed is only what is, by size and time, still the very file that was
written here: whatever somebody put or changed in the folder himself stays.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from datctl.client import Client
from datctl.disk import DestinationFolder, Skipped
from datctl.disk_names import OWN_PREFIX, UnsafeName, disk_parts
from datctl.download import Download, Report, Snapshot
from datctl.errors import NotFound, UsageError, WriteError
from datctl.models import Entry
from datctl.models_versions import Difference

# In the folder itself: which archive it follows, and up to where.
STATE_NAME = f"{OWN_PREFIX}follow.json"
_MAX_STATE = 65_536
# Versions that were begun and never came whole. What of an older one was removed again stays here.
MAX_BEGUN = 32
_NEW_NOTE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Mirror:
    """One folder that follows one folder of an archive.

    Attributes:
        begun: Versions that the folder may hold something of. If it is one, it holds that one.
        complete: Whether nothing of the newest version that was begun is missing.
    """

    def __init__(self, dat: Client, archive: str, path: str, folder: Path, *, wait: float) -> None:
        """Look at what an earlier run has left in the folder.

        Args:
            dat: The daemon.
            archive: Key of the archive.
            path: Of the folder in it.
            folder: Where to write.
            wait: Seconds to wait for what has to come from peers.

        Raises:
            UsageError: The folder follows another archive, or another folder of it.
            WriteError: What is noted there cannot be read.
        """
        self._dat = dat
        self._key = archive
        self._path = "/" + path.strip("/")
        self._folder = folder
        self._wait = wait
        self._whole = False
        self._left: list[tuple[str, str]] = []
        # Size and time of what earlier versions have had under the names that changed.
        self._old: dict[tuple[str, ...], set[tuple[int, float | None]]] = {}
        self._settled = False
        self.complete = False
        self.begun = self._noted()

    async def bring(
        self, version: int, changed: Callable[[Report], None] = lambda report: None
    ) -> tuple[Report, int]:
        """Make the folder like a version; call it again if `complete` is false then.

        Args:
            version: Number of the version.
            changed: Called with the report whenever there is something new in it.

        Returns:
            What became of the files, and how many were removed.

        Raises:
            NoPeers: Nobody told in time what the version consists of.
            WriteError: The disk refuses.
        """
        earlier = [begun for begun in self.begun if begun != version]
        # What is written from here on is known to the next run, however this one ends.
        self._note([*earlier[-MAX_BEGUN:], version])
        with DestinationFolder(self._folder) as folder:
            removed, self._left, self._old = 0, [], {}
            for old in earlier:
                removed += await self._remove(folder, old, version, changed)
            snapshot = Snapshot(self._key, version)
            download = Download(
                self._dat,
                snapshot,
                folder,
                wait=self._wait,
                changed=changed,
                replaced=self._replaced if self._settled else None,
            )
            if self._whole and len(earlier) == 1:
                async for found in self._differences(earlier[0], version):
                    if found.new is not None:
                        await download.entry(found.new, self._path)
            else:
                await download.tree(self._path)
        self.complete = not download.report.missing
        self._whole = self.complete
        if self.complete:
            self._note([version], settled=True)
        download.report.skipped += self._left
        return download.report, removed

    def _replaced(self, parts: tuple[str, ...]) -> Collection[tuple[int, float | None]]:
        return self._old.get(parts, ())

    async def _remove(
        self, folder: DestinationFolder, old: int, new: int, changed: Callable[[Report], None]
    ) -> int:
        """Remove what an older version had and the new one has not."""
        removed = 0
        emptied: set[tuple[str, ...]] = set()
        async for found in self._differences(old, new):
            entry = found.old
            if entry is None:
                continue
            with contextlib.suppress(UnsafeName):
                parts = self._parts(entry)
                self._old.setdefault(parts, set()).add((entry.size, _time_of(entry)))
                if found.new is not None and found.new.kind == entry.kind:
                    continue
                if entry.kind == "directory":
                    emptied.add(parts)
                elif _removed(folder, parts, entry):
                    removed += 1
                    emptied.add(parts[:-1])
                else:
                    self._left.append((entry.path, "removed there, but changed here: it stays"))
        await self._remove_folders(folder, emptied, new)
        return removed

    async def _remove_folders(
        self, folder: DestinationFolder, emptied: set[tuple[str, ...]], version: int
    ) -> None:
        """Remove folders that are empty now, unless the archive has them so."""
        while emptied:
            parts = max(emptied, key=len)
            emptied.discard(parts)
            if not parts or not folder.is_empty(parts) or await self._exists(parts, version):
                continue
            folder.remove_folder(parts)
            emptied.add(parts[:-1])

    async def _exists(self, parts: Sequence[str], version: int) -> bool:
        path = "/".join([self._path.rstrip("/"), *parts])
        try:
            await self._dat.list(self._key, path, version=version, limit=1, wait=self._wait)
        except NotFound:
            return False
        return True

    async def _differences(self, old: int, new: int) -> AsyncIterator[Difference]:
        async for found in self._dat.differences(
            self._key, old, new, path=self._path, wait=self._wait
        ):
            yield found

    def _parts(self, entry: Entry) -> tuple[str, ...]:
        return disk_parts(entry.path.removeprefix(self._path.rstrip("/")))

    # ---- what is noted

    def _noted(self) -> list[int]:
        place = self._folder / STATE_NAME
        try:
            with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                document = json.loads(file.read(_MAX_STATE))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise WriteError(f"{place} cannot be read: {error}; remove it to begin anew") from error
        versions = document.get("versions") if isinstance(document, dict) else None
        if not isinstance(versions, list) or not all(type(v) is int and v > 0 for v in versions):
            raise WriteError(f"{place} is none of ours; remove it to begin anew")
        if (document.get("archive"), document.get("path")) != (self._key, self._path):
            raise UsageError(
                f"{self._folder} follows dat://{document.get('archive')}{document.get('path')}: "
                f"name another folder, or remove {STATE_NAME} there"
            )
        self._settled = document.get("settled") is not False
        return versions

    def _note(self, versions: list[int], *, settled: bool = False) -> None:
        settled = settled or self._settled
        if (versions, settled) == (self.begun, self._settled):
            return
        document: dict[str, Any] = {
            "archive": self._key, "path": self._path, "versions": versions, "settled": settled
        }  # fmt: skip
        place = self._folder / STATE_NAME
        beside = self._folder / f"{STATE_NAME}.{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                with open(os.open(beside, _NEW_NOTE, 0o644), "w") as file:
                    file.write(json.dumps(document))
                    file.flush()
                    # Of a rename before the text, power loss leaves an empty note.
                    os.fsync(file.fileno())
                beside.replace(place)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise WriteError(f"{place} cannot be written: {error.strerror}") from error
        self.begun, self._settled = versions, settled


@contextlib.contextmanager
def alone(folder: Path, verb: str = "follows") -> Iterator[None]:
    """Keep every other run away from a folder, for the time of a `with`.

    Raises:
        WriteError: One writes into it already, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise WriteError(f"{folder} cannot be used as a folder: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WriteError(f"another datctl {verb} an archive into {folder} already") from None
        except OSError:
            pass  # a network disk without locks
        yield
    finally:
        os.close(descriptor)


def _removed(folder: DestinationFolder, parts: Sequence[str], entry: Entry) -> bool:
    with contextlib.suppress(Skipped):
        return folder.remove_file(parts, entry.size, _time_of(entry))
    return False


def _time_of(entry: Entry) -> float | None:
    return entry.mtime.timestamp() if entry.mtime is not None else None
