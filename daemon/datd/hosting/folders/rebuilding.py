"""Opens the catalogue; when it is lost or damaged it is made anew of what the data folder tells.

What can still be read of a damaged file comes over. Archives of which it says nothing are found by
their folders, and come back paused: what their owner had said of them is not known. The damaged
file is kept beside the new one, and a report says what is lost.

The new file is made whole under another name first. A crash at any moment leaves the damaged one,
or a new one that only has to be put in its place (D-9).

Source: reliability.md C-19.
"""

import asyncio
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from datd.books import events
from datd.catalogue import Catalogue
from datd.errors import DamagedCatalogue, KeyFormatError, StorageError
from datd.hosting.folders.folder import REPORT, DataFolder
from datd.hosting.folders.place import SEAL
from datd.hosting.own.secrets import Secrets
from datd.keys import DiscoveryKey, Key
from datd.records import Record
from datd.salvage import salvage
from datd.storage.disk import flush_folder, replace_file
from datd.storage.faults import storage_error

_ENDINGS: Final = ("", "-wal", "-shm")
_DIGITS: Final = 64
# So many archives are named in a report; of more only the number is told.
_MAX_NAMED: Final = 1_000
# Reports of earlier times are kept below a new one, up to this size.
_MAX_REPORT: Final = 2**18


@dataclass(slots=True)
class Found:
    """What the folders tell.

    Attributes:
        records: Archives whose key is known.
        elsewhere: Discovery keys of archives that lie in a folder that was taken over, and that
            folder as far as it is known.
        unknown: Discovery keys of archives whose key is not known, and why.
        alone: Keys of archives of which only the secret key is here.
    """

    records: list[Record] = field(default_factory=list)
    elsewhere: list[tuple[str, str | None]] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    alone: list[Key] = field(default_factory=list)


async def open_catalogue(
    folder: DataFolder, secrets: Secrets, now: float
) -> tuple[Catalogue, list[Record], list[str]]:
    """Open the catalogue of a data folder that is locked.

    Args:
        folder: The data folder.
        secrets: Secret keys of our own archives.
        now: Seconds since 1970: when archives that are found are said to be added.

    Returns:
        The catalogue, its records, and lines for the log if it had to be made anew.

    Raises:
        StorageError: It can be neither used nor made anew; nothing was changed.
        NewerFormat: A newer datd wrote it.
    """
    path = folder.catalogue
    await asyncio.to_thread(_finish, path)
    if not await asyncio.to_thread(_is_lost, folder):
        catalogue = Catalogue(path)
        try:
            return catalogue, await catalogue.open(), []
        except DamagedCatalogue as error:
            reason = f"was damaged ({error})"
            await catalogue.close()
    else:
        reason = "was lost"
    lines = await _rebuild(folder, secrets, now, reason)
    catalogue = Catalogue(path)
    return catalogue, await catalogue.open(), lines


def _is_lost(folder: DataFolder) -> bool:
    """Whether there should be a catalogue: there is none, or an empty file, and archives are."""
    try:
        if folder.catalogue.stat().st_size:
            return False
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error(error, folder.catalogue, "read") from error
    # Folders of archives that somebody put into a new data folder are for `datctl add` to use;
    # who brought secret keys along wants the archives that they belong to.
    tops = (folder.archives, folder.keys) if folder.used else (folder.keys,)
    return any(True for top in tops for _ in _named_in(top))


async def _rebuild(folder: DataFolder, secrets: Secrets, now: float, reason: str) -> list[str]:
    path = folder.catalogue
    aside = await asyncio.to_thread(_keep_aside, path)
    fresh = path.with_name(f"{path.name}.part")
    await asyncio.to_thread(_remove, fresh)
    catalogue = Catalogue(fresh)
    try:
        await catalogue.open()
        taken: Counter[str] = Counter()
        # What SQLite finds beside an empty file it takes for rubbish, and removes.
        if aside is not None and aside.exists() and aside.stat().st_size:
            damaged = aside
            taken = await catalogue.together(lambda database: salvage(damaged, database))
            # SQLite makes one to read the other two.
            await asyncio.to_thread(aside.with_name(f"{aside.name}-shm").unlink, missing_ok=True)
        chance, sure = random.SystemRandom().randrange(events.CHANCES), taken["sqlite_sequence"] > 0
        await catalogue.together(partial(events.begin_anew, chance=chance, sure=sure))
        known = await _keys(catalogue)
        found = await asyncio.to_thread(find, folder, secrets, now, known)
        await catalogue.save(found.records)
        # Nothing is certain of what lies in the folders of the others either.
        await catalogue.together(lambda database: database.execute("UPDATE archives SET dirty = 1"))
    except StorageError:
        if aside is not None:
            await asyncio.to_thread(_remove, aside)  # the damaged file is still in its place
        raise
    finally:
        await catalogue.close()
    await asyncio.to_thread(_require_whole, fresh)
    lines = list(_lines(folder, reason, aside, taken, found))
    await asyncio.to_thread(_report, folder, lines, found, now)
    await asyncio.to_thread(_put_in_place, path, fresh)
    return lines


async def _keys(catalogue: Catalogue) -> set[str]:
    return await catalogue.together(
        lambda database: {row["key"] for row in database.execute("SELECT key FROM archives")}
    )


# ---- files


def _keep_aside(path: Path) -> Path | None:
    """Give the damaged files second names, and the first of these; None if there are none.

    Those that they got before a crash are used again: starting in vain a thousand times must not
    leave a thousand of them.
    """
    there = [ending for ending in _ENDINGS[:2] if path.with_name(path.name + ending).exists()]
    if not there:
        return None
    number = 1
    while any(
        path.with_name(f"{path.name}.damaged-{number}{ending}").exists() for ending in _ENDINGS[:2]
    ):
        if _are_one(path, path.with_name(f"{path.name}.damaged-{number}")):
            break
        number += 1
    aside = path.with_name(f"{path.name}.damaged-{number}")
    try:
        for ending in there:
            _link(path.with_name(path.name + ending), aside.with_name(aside.name + ending))
        flush_folder(path.parent)
    except OSError as error:
        raise storage_error(error, aside, "write") from error
    return aside


def _are_one(path: Path, aside: Path) -> bool:
    try:
        return path.samefile(aside)
    except OSError:
        return False


def _link(old: Path, new: Path) -> None:
    if _are_one(old, new):
        return
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(old)
    except OSError:  # not every file system has links
        shutil.copy2(old, new)
        with open(new, "rb") as file:
            os.fsync(file.fileno())


def _require_whole(fresh: Path) -> None:
    """See that all of a new file, which was closed, stands in that file itself.

    Where the disk takes no more, SQLite leaves a part beside it, and says nothing.
    """
    wal = fresh.with_name(f"{fresh.name}-wal")
    if wal.exists() and wal.stat().st_size:
        raise StorageError(
            f"the catalogue cannot be made anew in {str(fresh.parent)!r}: free some space on "
            "that disk"
        )


def _put_in_place(path: Path, fresh: Path) -> None:
    """Have the new file, which is whole, take the place of the damaged one."""
    try:
        # Closed in order, it has no `-wal`. From here on a crash is followed by `_finish`.
        os.rename(fresh, path.with_name(f"{path.name}.new"))
        flush_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path, "write") from error
    _finish(path)


def _finish(path: Path) -> None:
    """Put a new file that is whole in its place, if there is one."""
    new = path.with_name(f"{path.name}.new")
    try:
        if not new.exists():
            return
        # A `-wal` of the old file would be taken for one of the new file.
        for ending in _ENDINGS[1:]:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        os.replace(new, path)
        flush_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path, "write") from error


def _remove(path: Path) -> None:
    for ending in _ENDINGS:
        path.with_name(path.name + ending).unlink(missing_ok=True)


# ---- what the folders tell


def find(folder: DataFolder, secrets: Secrets, now: float, known: set[str]) -> Found:
    """Look through the folders of archives, and the secret keys.

    Args:
        folder: The data folder.
        secrets: Secret keys; of those that are found here, the marks become doubtful.
        now: Seconds since 1970.
        known: Keys, hex, of archives of which the catalogue tells already.

    Raises:
        StorageError: The data folder itself cannot be read.
    """
    found = Found()
    seen = {str(Key(bytes.fromhex(key)).discovery_key) for key in known}
    for name, place in _named_in(folder.archives):
        if name in seen:
            continue
        seen.add(name)
        _look(DiscoveryKey(bytes.fromhex(name)), place, secrets, now, found)
    for name, _ in _named_in(folder.keys):
        if name in seen:
            continue
        with suppress(StorageError):  # `datctl doctor` names those that cannot be used
            secret = secrets.read(DiscoveryKey(bytes.fromhex(name)))
            if secret is not None:
                found.alone.append(Key(secret[32:]))
    return found


def _look(name: DiscoveryKey, place: Path, secrets: Secrets, now: float, found: Found) -> None:
    trouble = "its key file is missing or damaged"
    key = secret = None
    try:
        secret = secrets.read(name)
        key = _key_in(place, name) or (Key(secret[32:]) if secret is not None else None)
    except StorageError as error:
        trouble = str(error)
    if (place / SEAL).exists():
        found.elsewhere.append((str(name), _sealed_in(place)))
    elif key is None:
        found.unknown.append((str(name), trouble))
    else:
        found.records.append(
            Record(key, added_at=now, paused=True, dirty=True, writable=secret is not None)
        )
        _doubt(secrets, name)


def _doubt(secrets: Secrets, name: DiscoveryKey) -> None:
    """Have peers asked before anything is appended, as with a folder that is taken over."""
    with suppress(StorageError):  # as good as none, which is doubtful as well
        mark = secrets.mark(name)
        if mark is not None:
            secrets.set_mark(name, replace(mark, doubtful=True))


def _key_in(place: Path, name: DiscoveryKey) -> Key | None:
    try:
        key = Key((place / "metadata.key").read_bytes())
    except (FileNotFoundError, NotADirectoryError, KeyFormatError):
        return None
    except OSError as error:
        raise storage_error(error, place / "metadata.key", "read") from error
    return key if key.discovery_key == name else None


def _sealed_in(place: Path) -> str | None:
    """The folder that a seal speaks of."""
    try:
        file = Path(json.loads((place / SEAL).read_bytes())[0][0])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    inside = file.parent.name in (".dat", "metadata", "content")
    return str(file.parent.parent if inside else file.parent)


def _named_in(top: Path) -> Iterator[tuple[str, Path]]:
    """What lies at `<2 hex>/<62 hex>`: its discovery key and where it is."""
    try:
        for half in sorted(top.iterdir()):
            if not _is_hex(half.name, 2) or not half.is_dir():
                continue  # such as lost+found, which nobody may look into
            for rest in sorted(half.iterdir()):
                if _is_hex(rest.name, _DIGITS - 2):
                    yield half.name + rest.name, rest
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, top, "look into") from error


def _is_hex(name: str, digits: int) -> bool:
    return len(name) == digits and set(name) <= set("0123456789abcdef")


# ---- what to tell


def _lines(
    folder: DataFolder, reason: str, aside: Path | None, taken: Counter[str], found: Found
) -> Iterator[str]:
    kept = f", the damaged file is kept as {aside}" if aside is not None else ""
    yield f"the catalogue {reason}: it was made anew{kept}"
    if taken["archives"]:
        yield f"{taken['archives']} archives could still be read in it, with all that was set"
    yield (
        f"{len(found.records)} archives were found by their folders, and are paused, in mode "
        "archive, on all networks: look at them with datctl list, choose with datctl mode, and "
        "let them go on with datctl resume"
    )
    if found.elsewhere:
        yield (
            f"{len(found.elsewhere)} archives lie in folders that were taken over: datctl adopt "
            "takes them over again"
        )
    if found.unknown:
        yield f"of {len(found.unknown)} folders the key is not known: datctl add LINK uses them"
    if found.alone:
        yield f"of {len(found.alone)} archives only the secret key is here: datctl add LINK"
    yield (
        "what could not be read of the old file is lost: names, tags, modes and patterns, "
        "networks, domains, names of versions, peers, web sources, folders that are published "
        "from, archives in folders elsewhere that nothing points to, conflicts, tokens, accounts, "
        "pins, webhooks, events"
    )
    yield f"the whole report: {folder.path / REPORT}"


def _report(folder: DataFolder, told: list[str], found: Found, now: float) -> None:
    """Write down what to look at; `datctl doctor` speaks of it until somebody removes it."""
    lines = [datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), *told]
    named = (
        [f"found by its folder: {record.key.hex}" for record in found.records],
        [
            f"taken over: {name} in {where or 'a folder not known'}"
            for name, where in found.elsewhere
        ],
        [f"key not known: discovery key {name}: {why}" for name, why in found.unknown],
        [f"only the secret key is here: {key.hex}" for key in found.alone],
    )
    for group in named:
        lines += group[:_MAX_NAMED]
        if len(group) > _MAX_NAMED:
            lines.append(f"… and {len(group) - _MAX_NAMED} more of these")
    with suppress(OSError):
        lines += ["", (folder.path / REPORT).read_text(errors="replace")[:_MAX_REPORT]]
    replace_file(folder.path / REPORT, ("\n".join(lines) + "\n").encode(), mode=0o600)
