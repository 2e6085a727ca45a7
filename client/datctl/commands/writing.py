"""Verbs that write files of archives of our own: put, rm, mkdir."""

import asyncio
import contextlib
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import DaemonOption, JsonOption, Place, parse_place
from datctl.commands.waiting import Pace, tell_skipped
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models_jobs import Skipped
    from datctl.models_writing import Written

_PIECE = 256 * 1024

TargetArgument = Annotated[
    str, Parameter(name="ARCHIVE/PATH", help="An archive of our own, and a path in it.")
]


class _Source(NamedTuple):
    """A file of this host and where it goes."""

    file: Path
    path: str
    size: int


async def put(
    target: TargetArgument,
    file: Annotated[
        Path,
        Parameter(
            name="FILE",
            allow_leading_hyphen=True,
            help="A file of this host, or - for standard input.",
        ),
    ],
    /,
    *,
    recursive: Annotated[
        bool,
        Parameter(
            name=("-r", "--recursive"),
            negative=(),
            show_default=False,
            help="FILE is a folder: write all that lies in it. Links are left out.",
        ),
    ] = False,
    new: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="Only if there is nothing at that path yet."
        ),
    ] = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Write a file into an archive of our own, in place of what was there.

    A path that ends in `/` is a folder, in which the file keeps its name. Each file makes a new
    version; the older ones keep what they had. Folders that change often are better published with
    `datctl share`.

    **Examples**

    - `datctl put recipes/soups/leek.md leek.md`
    - `datctl put recipes/soups/ leek.md`
    - `date | datctl put recipes/updated.txt -`
    - `datctl put -r recipes/photos ./photos`
    """
    where = _target(target)
    written: list[Written] = []
    async with daemon.client() as dat:
        if str(file) == "-":
            if recursive or where.path.endswith("/"):
                raise UsageError("standard input needs the path of a file: ARCHIVE/PATH -")
            chunks = _arriving(sys.stdin.fileno())
            written.append(await dat.put(where.archive, where.path, chunks, new=new))
        else:
            sources, skipped = _sources(file, where.path, recursive=recursive)
            written += await _put_all(dat, where.archive, sources, f"put {target}", new=new)
            tell_skipped(skipped)
    if json:
        output.print_json(written)
        return
    for entry in written:
        output.say(
            f"{entry.version}  {output.size_text(entry.size):>9}  {output.shown(entry.path)}"
        )


def _target(text: str) -> Place:
    where = parse_place(text)
    if where.version is not None:
        raise UsageError("only the newest version can be written: name no other")
    return where


def _sources(file: Path, path: str, *, recursive: bool) -> "tuple[list[_Source], list[Skipped]]":
    """What is to be written where, and what not."""
    from datctl.models_jobs import Skipped

    try:
        found = file.stat()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        if recursive:
            raise UsageError(f"{file} is no folder: leave -r out")
        name = file.resolve().name if path.endswith("/") else ""
        return [_Source(file, path + name, found.st_size)], []
    if not recursive:
        raise UsageError(f"{file} is a folder: give -r to write all that lies in it")
    sources: list[_Source] = []
    skipped: list[Skipped] = []
    for inner in _below(file):
        mode = inner.lstat().st_mode
        name = str(inner.relative_to(file))
        if stat.S_ISREG(mode) and _is_text(name):
            sources.append(_Source(inner, f"{path.rstrip('/')}/{name}", inner.stat().st_size))
        elif not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            skipped.append(Skipped(path=name, reason=what))
        else:
            known = name.encode(errors="replace").decode()
            skipped.append(Skipped(path=known, reason="its name is not UTF-8"))
    return sources, skipped


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return True


def _below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in an order that does not depend on the disk."""
    for base, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if Path(base, name).is_symlink()]
        for name in sorted([*files, *links]):
            yield Path(base, name)


async def _put_all(
    dat: "Client", archive: str, sources: list[_Source], title: str, *, new: bool
) -> "list[Written]":
    total, done, pace = sum(source.size for source in sources), 0, Pace(time.monotonic)
    written: list[Written] = []
    with output.Progress(title, time.monotonic) as progress:

        def sent(size: int) -> None:
            nonlocal done
            done += size
            rate = pace.rate(done)
            left = f", {output.span_text((total - done) / rate)} left" if rate else ""
            amount = f"{output.size_text(done)} of {output.size_text(total)}"
            told = f"{len(written)} of {output.count_text(len(sources), 'file')}, {amount}"
            progress.update(done, total or None, f"{told}, {output.rate_text(rate)}{left}")

        for source in sources:
            try:
                file = source.file.open("rb")
            except OSError as error:
                raise UsageError(f"{source.file} cannot be read: {error.strerror}") from error
            with file:
                chunks = _pieces(file, sent)
                written.append(await dat.put(archive, source.path, chunks, new=new))
    return written


async def _pieces(file: IO[bytes], sent: Callable[[int], None]) -> AsyncIterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
        sent(len(piece))


async def _arriving(descriptor: int) -> AsyncIterator[bytes]:
    """What comes from a pipe or a person: Ctrl-C must not wait for the next piece of it."""
    loop = asyncio.get_running_loop()
    while True:
        ready = asyncio.Event()
        with contextlib.suppress(PermissionError):  # a plain file, which never keeps us waiting
            loop.add_reader(descriptor, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(descriptor)
        piece = os.read(descriptor, _PIECE)
        if not piece:
            return
        yield piece


async def rm(
    target: TargetArgument,
    /,
    *,
    recursive: Annotated[
        bool,
        Parameter(
            name=("-r", "--recursive"),
            negative=(),
            show_default=False,
            help="A folder, with all that lies in it.",
        ),
    ] = False,
    daemon: DaemonOption,
) -> None:
    """Remove a file or folder from an archive of our own. Older versions keep it.

    **Examples**

    - `datctl rm recipes/soups/leek.md`
    - `datctl rm -r recipes/soups`
    """
    where = _target(target)
    if not where.path.strip("/"):
        raise UsageError(
            "name a path in the archive; a whole archive is not hosted any more after: "
            "datctl remove ARCHIVE"
        )
    async with daemon.client() as dat:
        await dat.delete(where.archive, where.path, recursive=recursive)
    output.say(f"removed {output.shown(where.path)}")


async def mkdir(target: TargetArgument, /, *, daemon: DaemonOption) -> None:
    """Make a folder in an archive of our own, which stays while it is empty.

    Folders that hold something need not be made first.

    **Examples**

    - `datctl mkdir recipes/sauces`
    """
    where = _target(target)
    if not where.path.strip("/"):
        raise UsageError("name a path in the archive: ARCHIVE/PATH")
    async with daemon.client() as dat:
        made = await dat.mkdir(where.archive, where.path)
    output.say(f"{made.version}  {output.shown(made.path)}/")
