"""Which folders of this host may be published: those below the setting `import_roots`."""

from collections.abc import Sequence
from pathlib import Path

from datd.errors import FolderRefused


class ImportRoots:
    """The folders that an operator has opened to the API (decision 21)."""

    def __init__(
        self, roots: Sequence[Path], *, data_folder: Path, owner_keys: Path | None = None
    ) -> None:
        """Look at nothing yet.

        Args:
            roots: Folders; what lies in them may be published.
            data_folder: Where secret keys lie; it is never published, nor anything it lies in.
            owner_keys: Likewise, where the `dat` command keeps them, if that is used.
        """
        self._roots = tuple(roots)
        self._private = [data_folder, *filter(None, [owner_keys])]

    def allow(self, path: Path) -> bool:
        """Whether a file may be published, whose path has no links in it; looks at the disk."""
        try:
            below = any(path.is_relative_to(root.resolve()) for root in self._roots)
            return below and not any(path.is_relative_to(one.resolve()) for one in self._private)
        except (OSError, RuntimeError):
            return False

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
            private = [one.resolve() for one in self._private]
        except (OSError, RuntimeError):  # links in a circle
            raise FolderRefused(f"{text[:80]!r} cannot be followed") from None
        # Who may not read somewhere does not learn either what is there.
        if not allowed:
            named = ", ".join(map(str, self._roots)) or "none"
            raise FolderRefused(
                f"{text[:80]!r} lies in no folder that may be published (import_roots: {named})",
                forbidden=True,
            )
        if any(one.is_relative_to(whole) or whole.is_relative_to(one) for one in private):
            raise FolderRefused(
                f"{text[:80]!r} holds the daemon's own data or keys of `dat`, and with it secret "
                "keys: publish a folder in it that holds none",
                forbidden=True,
            )
        try:
            str(whole).encode()
        except UnicodeEncodeError:
            raise FolderRefused(
                f"{text[:80]!r} leads to a name that is no UTF-8: rename it"
            ) from None
        if not whole.is_dir():
            raise FolderRefused(f"{text[:80]!r} is not a folder of this host")
        return whole
