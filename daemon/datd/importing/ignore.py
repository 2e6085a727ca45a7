"""Which files of a folder are not imported: the rules of `dat`, and those of its `.datignore`.

Source: archives.md section 10; dat-ignore 2.1.3 over anymatch 2 and micromatch 3.
"""

import os
import re
import stat as file_mode
from collections.abc import Sequence
from pathlib import Path

from datd.errors import ConfigError
from datd.importing.globs import GlobError, translate

IGNORE_FILE = ".datignore"
# Rules are written by hand; every file is held against all of them.
MAX_IGNORE_FILE = 64 * 1024
# Where `dat` keeps the archive, its secret key included: no rule brings that back.
_STORAGE = ".dat"

# Components that no star is afraid of.
_SEEN = r"[^./][^/]*(?:/[^./][^/]*)*"
_HIDES_ALWAYS = rf"(?:{_SEEN}/)?\.DS_Store"
_SHOWS_ALWAYS = rf"(?:{_SEEN}/)?\.well-known/dat"
_WELL_KNOWN = ".well-known"
_SPELLS_DOT = re.compile(r"(?:^!|[/\\\[{(,|])(?:\.|[\\\[{(@?])")
# What JavaScript's `trim` takes away; Python's `strip` leaves the byte order mark.
_BLANK = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class IgnoreRules:
    """The rules for one folder.

    Paths are relative to the folder, with slashes, without one in front.

    Attributes:
        ignore_hidden: Whether paths with a component that starts with a dot are left out.
    """

    def __init__(
        self, lines: Sequence[str] = (), *, ignore_hidden: bool = True, folder: Path | None = None
    ) -> None:
        """Read rules.

        Args:
            lines: Lines of `.datignore`, in any order.
            ignore_hidden: Leave out all that is hidden.
            folder: Where a line that names a folder is looked up; None for nowhere.

        Raises:
            ConfigError: A line cannot be understood. It is not passed over: what it was to hide
                would be published.
        """
        self.ignore_hidden = ignore_hidden
        hiding, showing = [_HIDES_ALWAYS], [_SHOWS_ALWAYS]
        exactly = set()
        self._shows_hidden = False
        for number, line in enumerate(lines, 1):
            try:
                below = _folder_named(folder, line)
                if below is not None:
                    hiding.append(_at_and_below(below))
                elif line.startswith("!"):
                    showing.append(translate(line[1:]))
                    # No star matches a leading dot: only a rule that spells it leads into the
                    # hidden.
                    self._shows_hidden = self._shows_hidden or _SPELLS_DOT.search(line) is not None
                else:
                    hiding.append(translate(line))
                    exactly.add(line)
            except GlobError as error:
                raise ConfigError(
                    f"rule {number} of {IGNORE_FILE}, {line[:100]!r}, cannot be understood: {error}"
                ) from None
        self._hiding = re.compile("|".join(hiding), re.DOTALL)
        self._showing = re.compile("|".join(showing), re.DOTALL)
        self._exactly = frozenset(exactly)

    @classmethod
    def read(cls, folder: Path, *, ignore_hidden: bool = True) -> "IgnoreRules":
        """Read the rules of a folder as it is now.

        Raises:
            ConfigError: Its `.datignore` cannot be read or understood.
        """
        return cls(_lines_of(folder / IGNORE_FILE), ignore_hidden=ignore_hidden, folder=folder)

    def ignores(self, path: str) -> bool:
        """Whether a file is left out."""
        if path.startswith(_STORAGE) and path[4:5] in ("", "/"):
            return True
        hidden = self.ignore_hidden and (path.startswith(".") or "/." in path)
        if not hidden and path not in self._exactly and not self._hiding.fullmatch(path):
            return False
        return not self._showing.fullmatch(path)

    def prunes(self, path: str) -> bool:
        """Whether nothing below a folder can be imported, so that nobody needs to look.

        `dat` looks everywhere. We leave out hidden folders: they are the large ones (`.git`), and
        no rule but `!` with their name in it can bring back what is in them.
        """
        if path.startswith(_STORAGE) and path[4:5] in ("", "/"):
            return True
        if not self.ignore_hidden or not (path.startswith(".") or "/." in path):
            return False
        names = [name for name in path.split("/") if name.startswith(".")]
        return names != [_WELL_KNOWN] and not self._shows_hidden


def _folder_named(folder: Path | None, line: str) -> str | None:
    """Name of the folder that a line means when it is taken as a path, if there is one."""
    if folder is None or "\0" in line:
        return None
    path = os.path.normpath(folder / line)
    return (os.path.basename(path) or None) if os.path.isdir(path) else None


def _at_and_below(name: str) -> str:
    # `**/NAME` and `**/NAME/**` in the original, where a name with a star or bracket in it would
    # not be itself.
    return f"(?:{_SEEN}/)?{re.escape(name)}(?:/{_SEEN})?"


def _lines_of(path: Path) -> list[str]:
    try:
        # It may be a link, as for `dat`; a pipe must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        if not file_mode.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path} is no file: it should hold a rule on each line")
        data = file.read(MAX_IGNORE_FILE + 1)
    if len(data) > MAX_IGNORE_FILE:
        raise ConfigError(f"{path} has more than {MAX_IGNORE_FILE} bytes of rules")
    lines = re.split(r"[\r\n]+", data.decode(errors="replace").strip(_BLANK))
    return [line for line in lines if line.strip(_BLANK)]
