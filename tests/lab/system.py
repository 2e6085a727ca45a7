"""Commands and processes of the system that a lab is built on."""

import os
import select
import subprocess
import time
from pathlib import Path


class LabError(Exception):
    """The kernel or a tool refused to build a part of the lab."""


def tool(*words: str, needed: bool = True, text: str | None = None) -> str:
    """Run a command of the system and return what it printed.

    Raises:
        LabError: It failed and `needed` says that this matters.
    """
    done = subprocess.run(words, input=text, text=True, capture_output=True, check=False)
    if needed and done.returncode:
        raise LabError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def started_at(pid: int) -> int:
    """When a process began, in ticks since boot: with its pid this names it for good. 0 = gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def wait_for_ends(pids: set[int], seconds: float) -> None:
    """Return when all these processes are gone, or after so many seconds."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)
