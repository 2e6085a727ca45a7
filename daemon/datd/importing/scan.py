"""Goes through a folder as `dat` does: depth first, names in order, what is ignored left out.

Says what is there, file by file; reads none of them. Source: archives.md section 10; mirror-folder
3.0.0 for the order and for links.
"""

import errno
import os
import stat as file_mode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from datd.errors import FolderRefused
from datd.importing.ignore import IgnoreRules
from datd.importing.tree import FolderTree

FollowLinks = Literal["inside", "all", "none"]

# Longer paths are listed by readers, but no file system takes them back (archives.md section 12).
MAX_PATH_SIZE = 4096
# Look-ups and walks of readers go no deeper.
MAX_DEPTH = 1000
# The index of a folder grows with the square of its names: here it would have gigabytes.
MAX_NAMES = 200_000
# These concern us, not a file.
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Skipped(NamedTuple):
    """Something that cannot be imported as it is now.

    Attributes:
        path: Where it lies.
        why: What is wrong with it, for people.
        gone: The archive should not hold it either (any longer). Else what it holds stays.
    """

    path: str
    why: str
    gone: bool = False


class File(NamedTuple):
    """A file to import.

    Attributes:
        path: Its path.
        tree: The folder through which it is opened: another one for links that lead out.
        place: Its path in that tree; not `path` if it is a link.
        stat: What it is now.
    """

    path: str
    tree: FolderTree
    place: str
    stat: os.stat_result


@dataclass(slots=True)
class Folder:
    """A folder that is entered now; its files and folders follow.

    Attributes:
        path: Its path; "" for the top.
        names: All names in it, also of what is left out.
    """

    path: str
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Level:
    path: str
    entries: Iterator[os.DirEntry[str]]


class Scan(Iterator[Folder | File | Skipped | None]):
    """What a folder holds, one thing a step; None for a step that found nothing to tell.

    A folder is told of before what is in it. Descriptors are those of the trees only, whatever the
    depth; names of one folder for each level are held.
    """

    def __init__(
        self,
        tree: FolderTree,
        rules: IgnoreRules,
        *,
        follow_links: FollowLinks = "inside",
        outside: FolderTree | None = None,
        may_follow: Callable[[Path], bool] = lambda _: True,
    ) -> None:
        """Stand before the top.

        Args:
            tree: The folder.
            rules: What to leave out.
            follow_links: Whose targets are imported in place of symbolic links: of those that lead
                to files within the folder, to any file, or of none. Links to folders are never
                followed, as in `dat`: whatever they hold is imported where it is.
            outside: The top of the file system, for "all".
            may_follow: Says of a file outside of the folder whether it may be imported.
        """
        self._tree = tree
        self._rules = rules
        self._follow = follow_links
        self._outside = outside
        self._may_follow = may_follow
        self._levels: list[_Level] = []
        self._started = False

    def __iter__(self) -> "Scan":
        return self

    def __next__(self) -> Folder | File | Skipped | None:
        if not self._started:
            self._started = True
            return self._enter("")
        while self._levels:
            level = self._levels[-1]
            entry = next(level.entries, None)
            if entry is not None:
                return self._look_at(level.path, entry)
            self._levels.pop()
        raise StopIteration

    @property
    def depth(self) -> int:
        """Folders on the way to where it stands."""
        return len(self._levels)

    def _enter(self, path: str) -> Folder | Skipped:
        if len(self._levels) >= MAX_DEPTH:  # what is in it would lie one deeper
            return Skipped(path, f"it lies deeper than {MAX_DEPTH} folders")
        try:
            with self._tree.listing(path) as listed:
                entries = []
                for entry in listed:
                    entries.append(entry)
                    if len(entries) > MAX_NAMES:
                        why = f"one folder with more than {MAX_NAMES:,} names: nobody could read it"
                        return Skipped(path, why)
        except OSError as error:
            return unreadable(path, error)
        names = {entry.name for entry in entries}
        self._levels.append(_Level(path, iter(_in_order(entries))))
        return Folder(path, names)

    def _look_at(self, folder: str, entry: os.DirEntry[str]) -> Folder | File | Skipped | None:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            if self._rules.prunes(path):
                return None
            return unnameable(path, entry.name) or self._enter(path)
        if self._rules.ignores(path):
            return None
        skipped = unnameable(path, entry.name)
        if skipped is not None:
            return skipped
        try:
            if entry.is_symlink():
                return self._followed(path)
            found = self._tree.stat(path)
        except OSError as error:
            return unreadable(path, error)
        if not file_mode.S_ISREG(found.st_mode):
            return Skipped(path, "it is neither a file nor a folder")
        return File(path, self._tree, path, found)

    def _followed(self, path: str) -> File | Skipped:
        if self._follow == "none":
            return Skipped(path, "symbolic links are not followed here", gone=True)
        base = str(self._tree.folder)
        try:
            target = os.path.realpath(os.path.join(base, path), strict=True)
        except FileNotFoundError:
            return Skipped(path, "the link leads nowhere", gone=True)
        except OSError:
            return Skipped(path, "the link cannot be followed: it may lead in a circle", gone=True)
        inside = _relative(target, base)
        if inside is None and (self._follow != "all" or self._outside is None):
            return Skipped(path, "the link leads out of the folder", gone=True)
        if ".dat" in (target if inside is None else inside).split("/"):
            return Skipped(path, "the link leads to an archive's own files", gone=True)
        tree, place = self._tree, inside
        if place is None:
            assert self._outside is not None
            if not self._may_follow(Path(target)):
                return Skipped(path, "the link leads to where nothing may be published", gone=True)
            tree, place = self._outside, target.strip("/")
        found = tree.stat(place) if place else None
        if found is None or file_mode.S_ISDIR(found.st_mode):
            return Skipped(path, "links to folders are not followed", gone=True)
        if not file_mode.S_ISREG(found.st_mode):
            return Skipped(path, "the link leads to what is neither a file nor a folder", gone=True)
        return File(path, tree, place, found)


def _in_order(entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    # JavaScript compares 16 bits at a time, which differs from us beyond the first plane only.
    if all(entry.name.isascii() for entry in entries):
        return sorted(entries, key=attrgetter("name"))
    return sorted(entries, key=lambda entry: entry.name.encode("utf-16-be", "surrogatepass"))


def unnameable(path: str, name: str) -> Skipped | None:
    """Why no archive can hold a name, if it cannot."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        return Skipped(shown, "its name is no valid UTF-8: rename it")
    if "\\" in name:
        return Skipped(path, "a backslash in a name means a folder in archives: rename it")
    if size >= MAX_PATH_SIZE:
        return Skipped(path, f"its path has more than {MAX_PATH_SIZE} bytes")
    return None


def unreadable(path: str, error: OSError) -> Skipped:
    """Why a file cannot be looked at.

    Raises:
        FolderRefused: It concerns more than the file.
    """
    if isinstance(error, FileNotFoundError):
        return Skipped(path, "it vanished while it was looked at", gone=True)
    if error.errno in OUT_OF_DESCRIPTORS:
        raise FolderRefused(
            f"{path!r} cannot be opened just now: {error.strerror}; import again later"
        ) from error
    return Skipped(path, f"it cannot be read: {error.strerror}")


def _relative(path: str, folder: str) -> str | None:
    """A path below a folder, or None if it lies elsewhere."""
    if path == folder:
        return ""
    prefix = folder.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None
