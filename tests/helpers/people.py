"""Being somebody else: root may do what the tests want to see refused."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# The account that owns nothing, by convention.
NOBODY = 65534


@contextmanager
def as_ordinary_user(folder: Path) -> Iterator[None]:
    """Without the rights of root for the time of a `with`; the way to a folder stays open."""
    if os.geteuid() != 0:
        yield
        return
    with ExitStack() as undo:
        for above in folder.parents:
            mode = above.stat().st_mode & 0o7777
            if not mode & 0o001:
                above.chmod(mode | 0o001)
                undo.callback(above.chmod, mode)
        os.seteuid(NOBODY)
        undo.callback(os.seteuid, 0)
        yield
