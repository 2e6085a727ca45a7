"""Paths of the fsspec filesystem, and what lies at them. Pure.

A path is `ARCHIVE/path/in/the/archive`, where ARCHIVE is a key, a name or the beginning of a key,
with `+VERSION` behind it or not. The path of an archive's root is the archive alone, and "" holds
all archives.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from datctl.errors import ApiError, DatdError, NoDaemon, NoPeers, NotFound, TimedOut, Unauthorized
from datctl.models import Archive, Entry

_FIXED = re.compile(r"[0-9a-f]{64}\+[0-9]+")


def split(path: str) -> tuple[str, str]:
    """The archive, and the path in it, starting with a slash."""
    archive, _, rest = path.strip("/").partition("/")
    return archive, f"/{rest}"


def never_changes(archive: str) -> bool:
    """Whether an archive is named together with the number of a version."""
    return _FIXED.fullmatch(archive.lower()) is not None


def nameable(path: str) -> bool:
    """Whether a path of an archive can be asked for; any text may stand in an author's archive."""
    return {"", ".", ".."}.isdisjoint(path.removeprefix("/").split("/"))


def folder_info(path: str, mtime: datetime | None = None) -> dict[str, Any]:
    """What fsspec wants to know of a folder."""
    return {"name": path, "size": 0, "type": "directory", "mtime": mtime}


def entry_info(archive: str, entry: Entry) -> dict[str, Any]:
    """What fsspec wants to know of an entry, and what we know beside that."""
    path = f"{archive}{entry.path}"
    if entry.kind == "directory":
        return folder_info(path, entry.mtime)
    return {
        "name": path,
        "size": entry.size,
        "type": "file" if entry.kind == "file" else "other",
        "mtime": entry.mtime,
        "mode": entry.mode,
        "blocks": entry.blocks,
        "available": entry.available,
    }


def archive_info(archive: Archive) -> dict[str, Any]:
    """An archive, as a folder below the root of all; by its key, which nobody changes."""
    return folder_info(archive.key, archive.updated_at) | {
        "archive": archive.name,
        "title": archive.title,
        "version": archive.version,
        "writable": archive.writable,
    }


def add_folders(found: dict[str, dict[str, Any]], top: str, path: str) -> None:
    """Folders between the top and a path, which are there by what lies in them."""
    parent = path.rpartition("/")[0]
    while len(parent) > len(top) and parent not in found:
        found[parent] = folder_info(parent)
        parent = parent.rpartition("/")[0]


def as_os_error(error: DatdError, path: str) -> Exception:
    """An error of the client as the one that file systems raise for it."""
    text = f"{path}: {error}"
    match error:
        case NotFound():
            return FileNotFoundError(text)
        case NoPeers() | TimedOut():
            return TimeoutError(text)
        case NoDaemon():
            return ConnectionError(text)
        case Unauthorized():
            return PermissionError(text)
        case ApiError(kind="exists"):
            return FileExistsError(text)
        case ApiError(kind="forbidden" | "no_secret_key" | "read_only"):
            return PermissionError(text)
        case _:
            return OSError(text)


@contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Errors of the client as those of file systems, for the time of a `with`."""
    try:
        yield
    except DatdError as error:
        raise as_os_error(error, path) from error
