"""Files of archives that are removed: they go, now or later, and nobody is left to wonder."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from datd.hosting.archive import HostedArchive
from datd.shortage import OUT_OF_DESCRIPTORS

log = logging.getLogger(__name__)


class Leftovers:
    """Folders that could not be removed yet; only what this run of the daemon left."""

    def __init__(
        self,
        relieve: Callable[[], None],
        turn: asyncio.Lock,
        archives: Callable[[], Iterable[HostedArchive]],
    ) -> None:
        """There are none.

        Args:
            relieve: Gives descriptors back, of which removing needs some.
            turn: Held by whoever adds or removes an archive.
            archives: Those that are hosted.
        """
        self._relieve = relieve
        self._turn = turn
        self._archives = archives
        self._folders: set[Path] = set()

    async def remove(self, folder: Path) -> None:
        """Remove a folder, whose archive is forgotten; the caller has the turn.

        What refuses to go is said in the log, and tried again by `again`.
        """
        error = await asyncio.to_thread(_remove, folder)
        if error is not None and error.errno in OUT_OF_DESCRIPTORS:
            self._relieve()
            error = await asyncio.to_thread(_remove, folder)
        if error is None:
            self._folders.discard(folder)
        elif folder not in self._folders:
            self._folders.add(folder)
            log.warning(
                "%s belongs to no archive any more, and cannot be removed (%s): it is tried again "
                "until datd ends; then remove it yourself",
                folder,
                error.strerror or error,
            )

    async def again(self) -> None:
        """Try all of them again, but those in which an archive lies by now."""
        if not self._folders:
            return
        async with self._turn:
            self._folders.difference_update(archive.folder for archive in self._archives())
            for folder in list(self._folders):
                await self.remove(folder)


def _remove(folder: Path) -> OSError | None:
    """Remove as much as goes; gives why something is left."""
    errors: list[OSError] = []

    def note(_call: object, _path: str, what: tuple[Any, BaseException, Any]) -> None:
        if isinstance(what[1], OSError) and not isinstance(what[1], FileNotFoundError):
            errors.append(what[1])

    with suppress(FileNotFoundError):
        shutil.rmtree(folder, onerror=note)
    return errors[0] if errors else None
