"""Which folders of this host may be published: those below the setting `import_roots`."""

from collections.abc import Sequence
from pathlib import Path

from datd.errors import FolderRefused


class ImportRoots:
    """The folders that an operator has opened to the API (decision 21)."""

    def __init__(self, roots: Sequence[Path], *, data_folder: Path) -> None:
        """Look at nothing yet.

        Args:
            roots: Folders; what lies in them may be published.
            data_folder: Where secret keys lie; it is never published, nor anything it lies in.
        """
        self._roots = tuple(roots)
        self._data = data_folder

    def folder(self, text: str) -> Path:
        """The folder that a path means, all symbolic links resolved; looks at the disk.

        Raises:
            FolderRefused: It is no folder, or may not be published.
        """
        path = Path(text)
        if not path.is_absolute() or "\0" in text:
            raise FolderRefused(f"{text[:80]!r} is no absolute path of a folder of this host")
        try:
            whole = path.resolve()
            allowed = any(whole.is_relative_to(root.resolve()) for root in self._roots)
            data = self._data.resolve()
        except (OSError, RuntimeError):  # links in a circle
            raise FolderRefused(f"{text[:80]!r} cannot be followed") from None
        # Who may not read somewhere does not learn either what is there.
        if not allowed:
            named = ", ".join(map(str, self._roots)) or "none"
            raise FolderRefused(
                f"{text[:80]!r} lies in no folder that may be published (import_roots: {named})",
                forbidden=True,
            )
        if data.is_relative_to(whole) or whole.is_relative_to(data):
            raise FolderRefused(
                f"{text[:80]!r} holds the daemon's own data, and with it secret keys",
                forbidden=True,
            )
        if not whole.is_dir():
            raise FolderRefused(f"{text[:80]!r} is not a folder of this host")
        return whole
