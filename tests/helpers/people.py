"""Being somebody else: root may do what the tests want to see refused."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# The account that owns nothing, by convention.
NOBODY = 65534


@contextmanager
def as_ordinary_user(folder: Path) -> Iterator[None]:
    """Without the rights of root for the time of a `with`; the way to a folder stays open.

    One process after the other: tests that run beside share most of the way, and whoever ends
    first would close it for the others.
    """
    if os.geteuid() != 0:
        yield
        return
    with ExitStack() as undo:
        common = os.open(tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, common)
        fcntl.flock(common, fcntl.LOCK_EX)
        # Closed, it would be given back only when no process that began meanwhile has it any more.
        undo.callback(fcntl.flock, common, fcntl.LOCK_UN)
        for above in folder.parents:
            mode = above.stat().st_mode & 0o7777
            if mode & 0o011 != 0o011:  # this process is still one of the group of root
                above.chmod(mode | 0o011)
                undo.callback(above.chmod, mode)
        os.seteuid(NOBODY)
        undo.callback(os.seteuid, 0)
        yield
