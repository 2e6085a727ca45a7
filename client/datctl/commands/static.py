"""`export --static`: a folder that any web server can serve as a source of the archive.

Beside the files lie the feeds in `.dat` (hashes, signatures, metadata), as in a folder of the `dat`
command, and `.well-known/dat`. Whoever reads the folder while it is brought up to date sees the
older version or the newer one: what signatures speak of is always there before they are.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datctl import output
from datctl.errors import NotFound, UsageError
from datctl.sleep_files import FEEDS, PARTS

if TYPE_CHECKING:
    from datctl.client import Client

# What we wrote there and of what: later runs go on from it.
STATE = ".datctl-static.json"
_WELL_KNOWN = (".well-known",)
_HEADER = 32
_SIGNATURE = 64
# What readers look at first is renamed last.
_ORDER = ("key", "data", "tree", "bitfield", "signatures")


class StaticFolder:
    """The feeds of one archive in a folder for a web server."""

    def __init__(self, folder: Path, archive: str, *, all_versions: bool) -> None:
        """Look what an earlier run left.

        Args:
            folder: The one that is served.
            archive: The archive's key.
            all_versions: Whether old versions are to be had there, too.

        Raises:
            UsageError: Another archive, or a folder of the `dat` command, lies there.
        """
        self._folder = folder
        self._dat = folder / ".dat"
        self._archive = archive
        self._all = all_versions
        self._state = _state(self._dat)
        if self._dat.is_symlink() or (self._dat.exists() and not self._state):
            raise UsageError(
                f"{self._dat} was not written by `export --static`: choose another folder"
            )
        if self._state and self._state.get("archive") != archive:
            raise UsageError(f"{folder} holds another archive: choose another folder")
        self._etags: dict[str, str] = dict(self._state.get("etags", {}))
        self._fetched: list[str] = []

    async def fetch(self, dat: "Client") -> int:
        """Bring the feeds beside the folder's own, and tell which version they are of.

        Content comes behind metadata: then it is there for all that metadata names.

        Raises:
            NotFound: Nothing of the archive is here.
        """
        self._dat.mkdir(parents=True, exist_ok=True)
        self._save_state()  # from here on the folder is known as ours
        for name in (f"{feed}.{part}" for feed in FEEDS for part in PARTS):
            self._beside(name).unlink(missing_ok=True)  # of a run that was cut short
        for feed in reversed(FEEDS):
            for part in PARTS:
                if (feed, part) != ("content", "data") or self._all:
                    await self._fetch(dat, feed, part)
        signatures = self._newest("metadata.signatures")
        length = (signatures.stat().st_size - _HEADER) // _SIGNATURE
        if length < 2:
            raise NotFound(404, "no_such_file", "this archive has no version yet")
        return length - 1

    def publish(self, names: dict[tuple[str, ...], bool]) -> None:
        """Put what was fetched in place: content first, and signatures last of each feed.

        Args:
            names: What the version has, and whether it is a folder; what is written beside its
                files is added, since it belongs there.
        """
        for feed in FEEDS:
            for part in _ORDER:
                name = f"{feed}.{part}"
                if name in self._fetched:
                    os.replace(self._beside(name), self._dat / name)
        if not self._all:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._dat / "content.data")
        self._save_state()
        if (*_WELL_KNOWN, "dat") not in names:
            _write_well_known(self._folder, self._archive)
            names[_WELL_KNOWN] = True
            names[*_WELL_KNOWN, "dat"] = False

    def tell(self) -> None:
        """What to do with the folder."""
        output.note(
            f"serve {self._folder} with any web server, hidden folders included; others then run: "
            f"datctl add {self._archive} --web https://HOST/FOLDER/"
        )

    async def _fetch(self, dat: "Client", feed: str, part: str) -> None:
        name = f"{feed}.{part}"
        newest = name == "content.bitfield" and not self._all
        known = self._etags.get(name) if (self._dat / name).exists() else None
        try:
            async with dat.sleep_file(self._archive, name, newest=newest, unless=known) as found:
                if found is None:
                    return
                with self._beside(name).open("wb") as file:
                    async for piece in found.pieces:
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                self._fetched.append(name)
                if found.etag is None:
                    self._etags.pop(name, None)
                else:
                    self._etags[name] = found.etag
        except NotFound:
            if feed == "metadata":
                raise
            # An archive without files has no content yet.

    def _beside(self, name: str) -> Path:
        return self._dat / f".{name}.new"

    def _newest(self, name: str) -> Path:
        return self._beside(name) if name in self._fetched else self._dat / name

    def _save_state(self) -> None:
        state = {"archive": self._archive, "etags": self._etags}
        new = self._dat / f"{STATE}.new"
        with new.open("w") as file:
            file.write(json.dumps(state))
            file.flush()
            # Of a rename before the text, power loss leaves a folder that is nobody's.
            os.fsync(file.fileno())
        os.replace(new, self._dat / STATE)


def _state(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / STATE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("etags", {}), dict) else {}


def _write_well_known(folder: Path, archive: str) -> None:
    """Tell browsers and other programs which archive a host stands for (DEP-0005)."""
    place = folder.joinpath(*_WELL_KNOWN)
    place.mkdir(exist_ok=True)
    new = place / ".dat.new"
    new.write_text(f"dat://{archive}/\nttl=3600\n")
    os.replace(new, place / "dat")
