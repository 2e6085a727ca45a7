"""Verbs about secret keys: keys export, keys import. Whoever has one can write the archive."""

import contextlib
import getpass
import json as json_text
import os
import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from datctl import output
from datctl.commands import asking, wording
from datctl.commands.options import ArchiveArgument, DaemonOption
from datctl.errors import NotFound, UsageError, WriteError

_HELP = """Copy secret keys of archives of our own: whoever has one can write the archive.

**Examples**

- `datctl keys export recipes recipes.key`
- `datctl keys import recipes.key`
"""

keys = App(name="keys", help=_HELP)

# As bytes, in the files of the original programs; as hex digits, in ours and on their screens.
_SECRET_SIZE = 64
_SECRET = re.compile(r"[0-9a-fA-F]{128}")
_MAX_FILE = 4_096


@keys.default
def explain() -> None:
    """Copy secret keys of archives of our own."""
    raise UsageError("say export or import: datctl keys --help")


@keys.command(name="export")
async def export_key(
    archive: ArchiveArgument,
    file: Annotated[
        Path | None,
        Parameter(
            name="FILE",
            allow_leading_hyphen=True,
            help="A new file, which nobody else may read; by default KEY.secret here, with the "
            "beginning of the key. - hands it on to a pipe.",
        ),
    ] = None,
    /,
    *,
    daemon: DaemonOption,
) -> None:
    """Write the secret key of an archive of ours into a file.

    Whoever has it can write the archive: keep it where nobody else looks. Two places that write one
    archive at the same time spoil it, so let only one daemon have it.

    **Examples**

    - `datctl keys export recipes recipes.key`
    - `datctl keys export recipes - | ssh other datctl keys import`
    """
    if str(file) == "-" and sys.stdout.isatty():
        raise UsageError(
            "a secret key is not shown on a terminal: name a file, or the program that takes it"
        )
    async with daemon.client() as dat:
        found = await dat.secret_key(archive)
    if file is not None and str(file) == "-":
        output.say(found.secret_key)
        return
    place = file if file is not None else Path(f"{found.key[:12]}.secret")
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as written:
                written.write(found.secret_key + "\n")
                written.flush()
                os.fsync(written.fileno())
        except BaseException:
            # Half a key helps nobody, and would be in the way of the next try.
            with contextlib.suppress(OSError):
                place.unlink()
            raise
    except FileExistsError as error:
        raise WriteError(f"{place} exists already: name another file") from error
    except OSError as error:
        raise WriteError(f"{place} cannot be written: {error.strerror}") from error
    output.note(f"{place} has the secret key of dat://{found.key}: nobody else should")


@keys.command(name="import")
async def import_key(
    file: Annotated[
        Path | None,
        Parameter(
            name="FILE",
            allow_leading_hyphen=True,
            help="Where the secret key stands; by default standard input.",
        ),
    ] = None,
    /,
    *,
    daemon: DaemonOption,
) -> None:
    """Make an archive ours, by its secret key; it is hosted if it was not.

    Read are files of `datctl keys export`, what `dat keys export` prints, and the files in
    `~/.dat/secret_keys`. Before anything is written, peers are asked for what is new.

    **Examples**

    - `datctl keys import recipes.key`
    - `dat keys export | datctl keys import`
    """
    secret = _secret(_read(file))
    # The second half of the secret key is the public one.
    key = secret[_SECRET_SIZE:]
    async with daemon.client() as dat:
        try:
            await dat.archive(key)
        except NotFound:
            await dat.add(key)
            output.note(f"hosted from now on: dat://{key}")
        found = await dat.give_secret_key(key, secret)
    output.say(f"ours: {wording.label(found)}")


def _read(file: Path | None) -> bytes:
    if file is None or str(file) == "-":
        with asking.interruptible():
            if sys.stdin.isatty():
                return getpass.getpass("secret key (it is not shown): ").encode()
            return sys.stdin.buffer.read(_MAX_FILE)
    try:
        with file.expanduser().open("rb") as opened:
            return opened.read(_MAX_FILE)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _secret(data: bytes) -> str:
    """The secret key in hex, out of any file that may hold one.

    Raises:
        UsageError: There is none in it.
    """
    if len(data) == _SECRET_SIZE:
        return data.hex()
    text = data.decode("ascii", "replace").strip()
    if text.startswith("{"):
        try:
            text = str(json_text.loads(text).get("secret_key", ""))
        except (ValueError, RecursionError):
            text = ""
    if not _SECRET.fullmatch(text):
        raise UsageError("there is no secret key: expected 128 hex digits, or 64 bytes")
    return text.lower()
