"""Notices that folders change. One task and one thread for all of them, none when there are none.

Says which folder changed, and the files that were noticed. They are only what to look at first: an
import looks at all of the folder anyway, which cannot miss what a lost notice would have told.

A watcher of the system's takes no folder more once it was made. So a folder that comes later gets
one of its own, and watchers are made one as soon as the newer is as large as the older: there are
few of them, and each folder moves a few times only. The older are read out after the one in their
place stands, so that no change falls between them.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from datd import errand
from datd.importing.ignore import IGNORE_FILE, IgnoreRules
from datd.importing.noticed import MOST_NOTICED

log = logging.getLogger(__name__)

# A change is told once nothing else changed for so long …
_QUIET_SECONDS = 0.2
# … and at the latest after this, or a program that writes a log would keep the archive old.
_LATEST_SECONDS = 0.8
# How often it is looked whether the folders are still there: a folder that was replaced is silent.
_LOOK_SECONDS = 1.0
# A watcher gives what it has at once; this is how long it waits where it has nothing.
_READ_MS = 1
# It tells of a new folder, and watches it a moment later: where it then reaches the limit of the
# system is seen within this.
_GROWING_SECONDS = 1.0
# Folders that cannot be watched are imported this often instead.
POLL_SECONDS = 10.0
# So often it is tried whether they can be watched by now.
RETRY_SECONDS = 600.0

_Identity = tuple[int, int]
# Of a folder that was removed: one made right after it may get its very numbers.
_REMOVED: _Identity = (-1, -1)
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
        self._lookout: _Lookout | None = None

    def add(self, folder: Path, *, ignore_hidden: bool = True) -> None:
        """Watch a folder, which need not be there yet. Call it on the loop.

        Args:
            folder: Absolute, without links in it.
            ignore_hidden: Whether changes of hidden files say nothing.
        """
        self._folders[folder] = rules = IgnoreRules(ignore_hidden=ignore_hidden)
        self._news.set()
        if self._lookout is not None:
            self._lookout.ask(folder, rules)

    def remove(self, folder: Path) -> None:
        """Watch a folder no more; nothing happens if it is not watched. Call it on the loop."""
        if self._folders.pop(folder, None) is None or self._lookout is None:
            return
        self._lookout.ask(folder, None)
        if not self._folders:
            self._lookout.stop()

    async def run(self) -> None:
        """Watch until cancelled: the one task. It ends at once, whatever the thread is at."""
        while True:
            while not self._folders:
                self._news.clear()
                await self._news.wait()
            await self._watch()

    async def _watch(self) -> None:
        """Watch until no folder is left."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def end(found: Exception | None) -> None:
            if ended.done():
                return
            if found is None:
                ended.set_result(None)
            else:
                ended.set_exception(found)

        def tell(changed: _Changed) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._tell, lookout, changed)

        self._lookout = lookout = _Lookout(tell, self._poll_seconds)
        for folder, rules in self._folders.items():
            lookout.ask(folder, rules)
        try:
            errand.start(lookout.work, end, name="folder-watch")
            await ended
        finally:
            self._lookout = None
            lookout.stop()

    def _tell(self, lookout: "_Lookout", changed: _Changed) -> None:
        if lookout is not self._lookout:
            return
        for folder, paths in changed.items():
            if folder in self._folders:
                self._on_change(folder, paths if len(paths) <= MOST_NOTICED else ())


@dataclass(slots=True)
class _Watched:
    rules: IgnoreRules
    identity: _Identity | None = None
    # When the system refused to watch it; None where it did not.
    refused_at: float | None = None


@dataclass(slots=True, eq=False)
class _Group:
    """Folders that share a watcher, less those that are not watched any more.

    Attributes:
        grew_at: When it was last read of a folder that had come below them.
    """

    notify: RustNotify
    folders: set[Path]
    opened_with: int
    grew_at: float = float("-inf")


class _Lookout:
    """What the thread does. Only `ask` and `stop` may be called from elsewhere."""

    def __init__(self, tell: Callable[[_Changed], None], poll_seconds: float) -> None:
        self._tell = tell
        self._poll_seconds = poll_seconds
        self._stopped = threading.Event()
        self._asked: SimpleQueue[tuple[Path, IgnoreRules | None]] = SimpleQueue()
        self._watched: dict[Path, _Watched] = {}
        # Those of them that are to be watched (anew), and are told once they are.
        self._fresh: dict[Path, None] = {}
        # The newer the smaller, but where the system refused. Who is gone or polled is in none.
        self._groups: list[_Group] = []
        # What changed and is not told yet, and since when.
        self._noticed: set[str] = set()
        self._noticed_at = 0.0
        self._looked_at = self._polled_at = time.monotonic()

    def ask(self, folder: Path, rules: IgnoreRules | None) -> None:
        """Watch a folder from soon on, by these rules; with None no more."""
        self._asked.put((folder, rules))

    def stop(self) -> None:
        """Let `work` end soon."""
        self._stopped.set()

    def work(self) -> None:
        """Watch until stopped."""
        try:
            while not self._stopped.is_set():
                self._take_up()
                self._begin()
                self._stopped.wait(_QUIET_SECONDS)
                self._listen()
                self._look()
        finally:
            for group in self._groups:
                group.notify.close()

    def _take_up(self) -> None:
        """Do what was asked for."""
        is_less = False
        with suppress(Empty):
            while True:
                folder, rules = self._asked.get_nowait()
                is_less |= self._watched.pop(folder, None) is not None
                self._leave(folder)
                if rules is not None:
                    self._watched[folder] = _Watched(rules)
                    self._fresh[folder] = None
        if is_less:
            # What nobody wants takes part of what the system allows until its group is made anew.
            for group in list(self._groups):
                if 2 * len(group.folders) <= group.opened_with:
                    self._replace([group], [])

    def _leave(self, folder: Path) -> None:
        """Take a folder out of where it is watched."""
        self._fresh.pop(folder, None)
        for group in list(self._groups):
            group.folders.discard(folder)
            if not group.folders:
                self._groups.remove(group)
                group.notify.close()

    def _renew(self, folder: Path) -> None:
        self._leave(folder)
        self._fresh[folder] = None

    def _give_up(self, group: _Group) -> None:
        """A watcher may have missed something: its folders are watched anew."""
        for folder in list(group.folders):
            self._renew(folder)

    def _begin(self) -> None:
        """Watch the fresh ones, and tell those that are there."""
        fresh, self._fresh = list(self._fresh), {}
        here: list[Path] = []
        for folder in fresh:
            watched = self._watched[folder]
            watched.identity, watched.refused_at = _identity(folder), None
            if watched.identity is None:
                log.warning("%s is not there: it is watched again once it is", folder)
            else:
                here.append(folder)
        if not here:
            return
        joined: list[_Group] = []
        size = len(here)
        for group in reversed(self._groups):
            if len(group.folders) > size:
                break
            joined.append(group)
            size += len(group.folders)
        if not joined or not self._replace(joined, here):
            self._open(here)
        self._tell(dict.fromkeys(here, _UNKNOWN))

    def _replace(self, groups: list[_Group], more: list[Path]) -> bool:
        """Watch groups and more folders by one watcher; False if the system does not allow it."""
        folders = {*more}.union(*(group.folders for group in groups))
        try:
            # For a moment each is watched twice, which also counts twice where there is a limit.
            notify = _notify(list(folders))
        except _REFUSALS:
            return False
        unsure = [group for group in groups if not self._read(group)]
        self._groups = [group for group in self._groups if group not in groups]
        for group in groups:
            group.notify.close()
        self._groups.append(_Group(notify, folders, len(folders)))
        for group in unsure:
            self._tell(dict.fromkeys(group.folders, _UNKNOWN))
        return True

    def _open(self, folders: list[Path]) -> None:
        """Watch what fits below the limits of the system; the rest is polled."""
        if self._stopped.is_set():
            return
        try:
            notify = _notify(folders)
        except _REFUSALS as error:
            if len(folders) > 1:
                middle = len(folders) // 2
                self._open(folders[:middle])
                self._open(folders[middle:])
            else:
                self._poll(folders[0], error)
        else:
            self._groups.append(_Group(notify, set(folders), len(folders)))

    def _poll(self, folder: Path, error: Exception) -> None:
        self._watched[folder].refused_at = time.monotonic()
        log.warning(
            "changes in %s are looked for every %g s only, since the system watches no "
            "more folders for us (%s): raise fs.inotify.max_user_watches, and "
            "fs.inotify.max_user_instances if that does not help, with sysctl",
            folder,
            self._poll_seconds,
            error,
        )

    def _listen(self) -> None:
        """Read all watchers, and tell what changed once that is due."""
        before = len(self._noticed)
        for group in list(self._groups):
            if not self._read(group):
                self._give_up(group)
        now = time.monotonic()
        if not before:
            self._noticed_at = now
        is_quiet = len(self._noticed) == before
        if self._noticed and (is_quiet or now - self._noticed_at >= _LATEST_SECONDS):
            noticed, self._noticed = self._noticed, set()
            self._tell(self._told_of(noticed))

    def _read(self, group: _Group) -> bool:
        """Note what a watcher noticed; False if it may have missed something."""
        try:
            found = group.notify.watch(_READ_MS, _READ_MS, _READ_MS, None)
            notices = set() if isinstance(found, str) else found
            self._noticed.update(path for _, path in notices)
            for folder in {Path(path) for kind, path in notices if kind == Change.deleted}:
                if folder in self._watched:
                    self._watched[folder].identity = _REMOVED
            now = time.monotonic()
            if any(kind == Change.added and os.path.isdir(path) for kind, path in notices):
                group.grew_at = now
            if now - group.grew_at <= _GROWING_SECONDS:
                # It says nothing when it reaches the limit later, and the new folder is silent.
                base = str(next(iter(group.folders)))
                RustNotify([base], False, False, 0, False, False).close()
        except _REFUSALS:
            return False
        return True

    def _told_of(self, paths: set[str]) -> _Changed:
        names = {str(folder): folder for folder in self._watched}
        changed: dict[Path, set[str]] = {}
        unknown: set[Path] = set()
        for path in paths:
            end = path.rfind("/")
            while end > 0:  # one may lie in another
                folder = names.get(path[:end])
                if folder is not None:
                    below = path[end + 1 :]
                    if below == IGNORE_FILE:
                        unknown.add(folder)
                    elif not self._watched[folder].rules.ignores(below):
                        changed.setdefault(folder, set()).add(below)
                end = path.rfind("/", 0, end)
        return changed | dict.fromkeys(unknown, _UNKNOWN)

    def _look(self) -> None:
        """See whether the folders are where they were; tell those that are due to be polled."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS and not self._noticed:
            return
        self._looked_at = now
        polled: list[Path] = []
        for folder, watched in self._watched.items():
            if _identity(folder) != watched.identity:
                self._renew(folder)
            elif watched.refused_at is not None:
                polled.append(folder)
                if now - watched.refused_at >= RETRY_SECONDS:
                    self._renew(folder)
        if now - self._polled_at >= self._poll_seconds:
            self._polled_at = now
            self._tell(dict.fromkeys(polled, _UNKNOWN))


# What the watcher raises where the system refuses: a limit is an OSError, the rest its own error.
_REFUSALS = (OSError, WatchfilesRustInternalError)


def _notify(folders: list[Path]) -> RustNotify:
    """Watch folders with all below them.

    Raises:
        OSError, WatchfilesRustInternalError: The system does not watch as many.
    """
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
