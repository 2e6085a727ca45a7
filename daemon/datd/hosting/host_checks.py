"""What of the host can keep archives from being hosted: clock, disk, rights, limits of the system.

Synchronous, for a thread: each looks at the disk or asks the kernel. None changes anything, but for
a file of a few bytes that is written to see whether that is possible.
"""

import ctypes
import os
import resource
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from datd.words import counted

FindingState = Literal["ok", "warn", "fail"]

# This code was written later, so no clock that is right shows an earlier time.
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
# What was noted by this clock, and lies so far ahead of it now, shows that it was set back.
MAX_SET_BACK = 300.0
# Below this a few thousand archives run into the end of names for files, long before that of bytes.
FREE_INODES = 0.02
# Writing a signature waits for two of these; a disk that takes longer holds up every import.
SLOW_FSYNC = 0.5
# Connections, feeds (up to ten files an open archive) and readers of the API take descriptors.
FEW_DESCRIPTORS = 4_096
MANY_USED = 0.8
# What the UDP socket asks for: half a second of a full link (see udp/door).
WANTED_UDP_BUFFER = 4 * 1024 * 1024
# Folders that are counted at most: each needs a watch, and counting takes a second for so many.
MAX_COUNTED = 200_000
# Secret keys that are looked at.
MAX_KEYS = 10_000

# adjtimex(2), without its modes a question that everybody may ask.
_TIME_ERROR = 5
_TIMEX_SIZE = 208


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; what the words mean stands at the model of the same name."""

    check: str
    state: FindingState
    text: str
    advice: str = ""


def clock(now: float, latest_noted: float | None, synchronised: bool | None) -> Finding:
    """Whether the time can be right.

    Args:
        now: Seconds since 1970.
        latest_noted: The latest moment that the catalogue knows of.
        synchronised: Whether the kernel's clock follows others; None where that is not known.
    """
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    advice = "set it, best by NTP: timedatectl set-ntp true"
    if now < WRITTEN:
        return Finding("clock", "fail", f"it shows {shown}, before this datd was made", advice)
    if latest_noted is not None and latest_noted > now + MAX_SET_BACK:
        later = datetime.fromtimestamp(latest_noted, UTC).strftime("%Y-%m-%d %H:%M")
        text = f"it shows {shown}, but something was noted at {later}: it is or was wrong"
        return Finding("clock", "warn", text, advice)
    if synchronised is False:
        return Finding("clock", "warn", f"it shows {shown}, and follows no time server", advice)
    follows = "" if synchronised is None else ", and follows a time server"
    return Finding("clock", "ok", f"it shows {shown}{follows}")


def is_synchronised() -> bool | None:
    """Whether the kernel says that its clock follows others; None if it does not say."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        answer = library.adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer != _TIME_ERROR


def disk(
    folder: Path, refusal: str | None, timer: Callable[[], float] = time.monotonic
) -> list[Finding]:
    """Whether the disk takes what is written, and how soon.

    Args:
        folder: The data folder.
        refusal: Why nothing more may be stored, as quotas and the floor of free space say.
        timer: Seconds.
    """
    found = []
    try:
        begin = timer()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"datd")
            file.flush()
            os.fsync(file.fileno())
        took = timer() - begin
        numbers = os.statvfs(folder)
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror}"
        advice = "make room, raise the quota, mount it writable, or see who owns it"
        return [Finding("disk", "fail", text, advice)]
    if took > SLOW_FSYNC:
        text = f"it takes {took:.1f} s until four bytes are on the disk of {folder}"
        advice = "look for a failing or busy disk (dmesg, iostat), or use a local one"
        found.append(Finding("disk speed", "warn", text, advice))
    if refusal is not None:
        found.append(Finding("disk", "fail", *_halves(refusal)))
    found += inodes(folder, numbers.f_favail, numbers.f_files)
    if not found:
        free = numbers.f_bavail * numbers.f_frsize
        text = f"{folder} can be written, {free // 10**6} MB are free"
        found.append(Finding("disk", "ok", text))
    return found


def _halves(sentence: str) -> tuple[str, str]:
    """What is so, and what to do, of a sentence that says both."""
    text, _, advice = sentence.partition(": ")
    return text, advice


def inodes(folder: Path, free: int, total: int) -> list[Finding]:
    """Whether the file system has room for more files; some have no such limit, and say 0."""
    if not total or free > total * FREE_INODES:
        return []
    text = f"the file system of {folder} has room for {counted(free, 'more file')}, of {total}"
    advice = "remove small files there, or use one with more inodes"
    return [Finding("inodes", "fail" if not free else "warn", text, advice)]


def catalogue(report: Path, damage: str | None) -> Finding:
    """Whether the catalogue is whole (C-19).

    Args:
        report: Where it is said what was lost when it was made anew.
        damage: What was found to make no sense in it since the start.
    """
    if damage is not None:
        advice = "restart datd: it keeps the damaged file and makes the catalogue anew"
        return Finding("catalogue", "fail", f"it is damaged: {damage}", advice)
    try:
        with report.open(errors="replace") as file:
            when, what = (file.readline(200).strip() for _ in range(2))
    except FileNotFoundError:
        return Finding("catalogue", "ok", "it is whole")
    except OSError as error:
        when, what = "it is not known when", f"{report} cannot be read: {error.strerror}"
    advice = f"do what {report} says, then remove that file"
    return Finding("catalogue", "warn", f"{when}: {what}", advice)


def rights(folder: Path) -> Finding:
    """Whether secrets are kept from other users."""
    open_to_others = list(_open_to_others(folder))
    if not open_to_others:
        return Finding("permissions", "ok", "secret keys and the token are for the daemon only")
    first, more = open_to_others[0], len(open_to_others) - 1
    others = f" and {more} more" if more else ""
    text = f"{first}{others} can be read or written by other users"
    return Finding("permissions", "fail", text, f"chmod -R go-rwx {first.parent}")


def _open_to_others(folder: Path) -> Iterator[Path]:
    secrets: list[Path] = [folder / "api.token"]
    keys = folder / "keys"
    for count, path in enumerate(keys.rglob("*")):
        if count >= MAX_KEYS:
            break
        secrets.append(path)
    for path in secrets:
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO) and not stat.S_ISLNK(mode):
            yield path
    try:
        if folder.stat().st_mode & stat.S_IWOTH:
            yield folder / "."
    except OSError:
        return


def open_files(limit: int, used: int) -> Finding:
    """Whether enough files may be open."""
    advice = "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the unit of systemd"
    if used > limit * MANY_USED:
        return Finding("open files", "fail", f"{used} of {limit} are open", advice)
    if limit < FEW_DESCRIPTORS:
        return Finding("open files", "warn", f"only {limit} are allowed", advice)
    return Finding("open files", "ok", f"{used} of {limit} are open")


def descriptors() -> tuple[int, int]:
    """How many files may be open, and how many are."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        used = 0
    return limit if limit != resource.RLIM_INFINITY else 2**31, used


def udp_buffer(largest: int | None) -> Finding | None:
    """Whether the kernel gives the UDP socket the room it asks for; None if it does not say."""
    if largest is None:
        return None
    text = f"the kernel gives a UDP socket {largest // 1024} KiB"
    if largest >= WANTED_UDP_BUFFER:
        return Finding("udp buffer", "ok", text)
    advice = (
        f"sysctl -w net.core.rmem_max={WANTED_UDP_BUFFER} net.core.wmem_max={WANTED_UDP_BUFFER}"
    )
    return Finding("udp buffer", "warn", f"{text}; fast uTP needs more", advice)


def watches(folders: Sequence[Path], allowed: int | None) -> Finding | None:
    """Whether the kernel watches as many folders as are to be; None if none is."""
    if not folders or allowed is None:
        return None
    wanted = _count_folders(folders, MAX_COUNTED)
    text = f"to be watched: {counted(wanted, 'folder')}; allowed: {allowed}"
    if wanted < allowed * MANY_USED:
        return Finding("watches", "ok", text)
    advice = f"sysctl -w fs.inotify.max_user_watches={max(2 * wanted, 524_288)}"
    return Finding("watches", "fail" if wanted > allowed else "warn", text, advice)


def _count_folders(folders: Iterable[Path], limit: int) -> int:
    count = 0
    for folder in folders:
        for _ in os.walk(folder):
            count += 1
            if count >= limit:
                return count
    return count


def kernel_number(name: str) -> int | None:
    """A setting of the kernel, such as `net/core/rmem_max`; None if it has none of that name."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None
