"""Notices that folders change. One task and one thread for all of them, none when there are none.

Says which folder changed, and the files that were noticed. They are only what to look at first: an
import looks at all of the folder anyway, which cannot miss what a lost notice would have told.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from datd.importing.ignore import IGNORE_FILE, IgnoreRules
from datd.importing.noticed import MOST_NOTICED

log = logging.getLogger(__name__)

# A change is told once nothing else changed for so long …
_QUIET_MS = 200
# … and at the latest after this, or a program that writes a log would keep the archive old.
_LATEST_MS = 800
# How often it is looked whether the folders are still there: a folder that was replaced is silent.
_LOOK_MS = 1000
# Folders that cannot be watched are imported this often instead.
POLL_SECONDS = 10.0
# So often it is tried whether they can be watched by now.
RETRY_SECONDS = 600.0

_Identity = tuple[int, int]
# Folders that changed, and the paths in each that did; none where that is not known.
_Changed = dict[Path, Collection[str]]
_UNKNOWN: Collection[str] = ()


class FolderWatch:
    """Calls back when something in a folder changed, in under a second.

    Also once for each folder as soon as it is watched, since it may have changed before; and when a
    folder that was gone is there again. What no import takes, such as hidden files, says nothing.
    """

    def __init__(
        self,
        on_change: Callable[[Path, Collection[str]], None],
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Watch nothing yet.

        Args:
            on_change: Told a folder as it was added, and paths in it that changed; none where that
                is not known, or where they are many. Called on the loop, and must not raise.
            poll_seconds: How often folders are told that the system does not watch for us.
        """
        self._on_change = on_change
        self._poll_seconds = poll_seconds
        self._folders: dict[Path, IgnoreRules] = {}
        self._news = asyncio.Event()
        self._round: _Round | None = None

    def add(self, folder: Path, *, ignore_hidden: bool = True) -> None:
        """Watch a folder, which need not be there yet. Call it on the loop.

        Args:
            folder: Absolute, without links in it.
            ignore_hidden: Whether changes of hidden files say nothing.
        """
        self._folders[folder] = IgnoreRules(ignore_hidden=ignore_hidden)
        self._begin_anew()

    def remove(self, folder: Path) -> None:
        """Watch a folder no more; nothing happens if it is not watched. Call it on the loop."""
        if self._folders.pop(folder, None) is not None:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._news.set()
        if self._round is not None:
            self._round.stop()

    async def run(self) -> None:
        """Watch until cancelled: the one task."""
        while True:
            if not self._folders:
                await self._news.wait()
            self._news.clear()
            if self._folders:
                await self._watch(_Round(self._folders, self._poll_seconds))

    async def _watch(self, watched: "_Round") -> None:
        """Watch these folders until others are to be watched, or some of them moved."""
        self._round = watched
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "folder-watch") as thread:
            try:
                self._tell(await loop.run_in_executor(thread, watched.open))
                while not self._news.is_set() and not watched.is_stale:
                    self._tell(await loop.run_in_executor(thread, watched.wait))
            finally:
                self._round = None
                watched.stop()
                await loop.run_in_executor(thread, watched.close)  # within `_QUIET_MS`

    def _tell(self, changed: "_Changed") -> None:
        for folder, paths in changed.items():
            if folder in self._folders:
                self._on_change(folder, paths if len(paths) <= MOST_NOTICED else ())


@dataclass(slots=True)
class _Watched:
    rules: IgnoreRules
    identity: _Identity | None = None
    is_polled: bool = False


class _Round:
    """A set of folders that is watched as long as none is added, removed or replaced.

    All but `stop` and `is_stale` belongs to the thread.
    """

    def __init__(self, folders: dict[Path, IgnoreRules], poll_seconds: float) -> None:
        self.is_stale = False
        self._watched = {folder: _Watched(rules) for folder, rules in folders.items()}
        self._poll_seconds = poll_seconds
        self._stopped = threading.Event()
        self._notify: RustNotify | None = None
        self._opened_at = self._polled_at = time.monotonic()

    def stop(self) -> None:
        """Let `wait` return soon."""
        self._stopped.set()

    def close(self) -> None:
        """Watch no more."""
        if self._notify is not None:
            self._notify.close()

    def open(self) -> _Changed:
        """Begin; gives the folders that are there."""
        for folder, watched in self._watched.items():
            watched.identity = _identity(folder)
            if watched.identity is None:
                log.warning("%s is not there: it is watched again once it is", folder)
        here = [folder for folder, watched in self._watched.items() if watched.identity is not None]
        try:
            self._notify = _notify(here)
        except _REFUSALS:
            self._open_what_can_be(here)
        return dict.fromkeys(here, _UNKNOWN)

    def _open_what_can_be(self, folders: list[Path]) -> None:
        """Watch what fits below the limits of the system; the rest is polled."""
        fitting: list[Path] = []
        for folder in folders:
            try:
                fits = _notify([*fitting, folder])
            except _REFUSALS as error:
                self._watched[folder].is_polled = True
                log.warning(
                    "changes in %s are looked for every %g s only, since the system watches no "
                    "more folders for us (%s): raise fs.inotify.max_user_watches, and "
                    "fs.inotify.max_user_instances if that does not help, with sysctl",
                    folder,
                    self._poll_seconds,
                    error,
                )
                continue
            self.close()
            self._notify = fits
            fitting.append(folder)

    def wait(self) -> _Changed:
        """Wait until something changed, or a second; gives the folders that changed."""
        changed: _Changed = {}
        if self._notify is None:
            self._stopped.wait(_LOOK_MS / 1000)
        else:
            try:
                notices = self._notify.watch(_LATEST_MS, _QUIET_MS, _LOOK_MS, self._stopped)
            except _REFUSALS:
                self.is_stale = True
                return dict.fromkeys(self._watched, _UNKNOWN)
            if not isinstance(notices, str):
                changed = self._told_of({path for _, path in notices})
                if any(kind == Change.added and os.path.isdir(path) for kind, path in notices):
                    self._see_whether_new_folders_fit()
        return dict.fromkeys(self._looked_at(), _UNKNOWN) | changed

    def _see_whether_new_folders_fit(self) -> None:
        # The watcher says nothing when it reaches the limit later, and the new folder is silent.
        try:
            RustNotify([str(next(iter(self._watched)))], False, False, 0, False, False).close()
        except _REFUSALS:
            self.is_stale = True

    def _told_of(self, paths: set[str]) -> _Changed:
        changed: _Changed = {}
        for folder, watched in self._watched.items():
            base = f"{folder}/"
            below = {path.removeprefix(base) for path in paths if path.startswith(base)}
            noticed = {path for path in below if not watched.rules.ignores(path)}
            if IGNORE_FILE in below:
                changed[folder] = _UNKNOWN
            elif noticed:
                changed[folder] = noticed
        return changed

    def _looked_at(self) -> set[Path]:
        """See whether the folders are where they were; those that are due to be polled."""
        for folder, watched in self._watched.items():
            if _identity(folder) != watched.identity:
                self.is_stale = True
        now = time.monotonic()
        polled = {folder for folder, watched in self._watched.items() if watched.is_polled}
        if polled and now - self._opened_at >= RETRY_SECONDS:
            self.is_stale = True
        if now - self._polled_at < self._poll_seconds:
            return set()
        self._polled_at = now
        return polled


# What the watcher raises where the system refuses: a limit is an OSError, the rest its own error.
_REFUSALS = (OSError, WatchfilesRustInternalError)


def _notify(folders: list[Path]) -> RustNotify | None:
    """Watch folders with all below them.

    Raises:
        OSError, WatchfilesRustInternalError: The system does not watch as many.
    """
    if not folders:
        return None
    names = [str(folder) for folder in folders]
    try:
        return RustNotify(names, False, False, 0, True, False)
    except OSError as error:
        if "limit" in str(error):
            raise
    # Something below may not be looked into. Told to let that pass, the watcher lets everything
    # pass, limits too, so it is told only after it had nothing else to complain of.
    return RustNotify(names, False, False, 0, True, True)


def _identity(folder: Path) -> _Identity | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino
