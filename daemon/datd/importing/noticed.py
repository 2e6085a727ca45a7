"""Files that somebody noticed to have changed: they are imported before all else is looked at."""

import stat as file_mode

from datd.importing.ignore import IgnoreRules
from datd.importing.scan import File, Skipped, unnameable
from datd.importing.tree import FolderTree

# More than these are as quickly found by going through the whole folder.
MOST_NOTICED = 256


def look(tree: FolderTree, rules: IgnoreRules, path: str) -> File | Skipped | None:
    """What to do at once about a path that changed.

    Args:
        tree: The folder.
        rules: What to leave out.
        path: Relative to it.

    Returns:
        A file to import, or one that is gone; None for all that needs a look at the whole folder:
        folders, links, what cannot be read, and what is ignored.
    """
    folder, _, name = path.rpartition("/")
    parts = folder.split("/") if folder else []
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    if rules.ignores(path) or any(map(rules.prunes, above)) or unnameable(path, name):
        return None
    try:
        found = tree.stat(path)
    except FileNotFoundError:
        return Skipped(path, "it vanished", gone=True)
    except OSError:
        return None
    return File(path, tree, path, found) if file_mode.S_ISREG(found.st_mode) else None
