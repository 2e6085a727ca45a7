"""What the kernel says of a process: its memory, its processor time, its open files."""

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that a process has used so far, user and system together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """The bytes of memory that a process holds."""
    return _status(pid, "VmRSS")


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a process has held at once."""
    return _status(pid, "VmHWM")


def open_files(pid: int) -> list[str]:
    """What the descriptors of a process lead to."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return found


def threads(pid: int) -> int:
    """How many threads a process has started; those of the kernel's that work for it are none."""
    count = 0
    for name in Path(f"/proc/{pid}/task").glob("*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            count += not name.read_text().startswith("iou-")
    return count


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
