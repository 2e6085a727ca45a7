"""An archive seen as a web site: which file answers a path.

Source: archives.md section 10 (as Beaker and Hashbase did).
"""

from dataclasses import dataclass
from typing import Literal

from datd.archive.entries import Stat
from datd.archive.manifest import Manifest
from datd.errors import EntryNotFound
from datd.hosting.archive import HostedArchive

Kind = Literal["file", "folder", "redirect", "fallback"]


@dataclass(frozen=True, slots=True)
class Found:
    """What answers a path.

    Attributes:
        kind: A file; a folder to be listed; a folder whose address lacks its slash; the page that
            the author made for addresses that lead nowhere.
        path: Where it lies in the archive.
        stat: Its entry.
    """

    kind: Kind
    path: str
    stat: Stat


class View:
    """One version of an archive, looked at as a site."""

    def __init__(
        self, archive: HostedArchive, version: int, manifest: Manifest | None, *, wait: float
    ) -> None:
        """Look at an archive.

        Args:
            archive: Which.
            version: Number of the version.
            manifest: Its `/dat.json`.
            wait: Seconds to wait for blocks that have to come from peers.
        """
        self._archive = archive
        self._version = version
        self._wait = wait
        self._root = f"/{manifest.web_root}" if manifest and manifest.web_root else ""
        self._fallback = manifest.fallback_page if manifest else ""

    async def find(self, path: str, *, is_folder: bool, skip_index: bool = False) -> Found:
        """Find what answers a path.

        Args:
            path: Without slash at its end; "" is the root.
            is_folder: Whether the address ended in a slash.
            skip_index: List a folder even if it has an `index.html`.

        Raises:
            EntryNotFound: Nothing does.
        """
        full = self._root + path
        stat = await self._stat(full)
        if stat is not None and stat.is_directory:
            index = None if skip_index or not is_folder else await self._file(f"{full}/index.html")
            if index is not None:
                return index
            # A page beside the folder of the same name goes first, unless the folder is meant.
            page = None if is_folder else await self._file(f"{full}.html")
            return page or Found("folder" if is_folder else "redirect", full or "/", stat)
        if stat is not None and stat.is_file and not is_folder:
            return Found("file", full, stat)
        page = None if is_folder or not path else await self._file(f"{full}.html")
        if page is not None:
            return page
        fallback = await self._file(f"{self._root}/{self._fallback}") if self._fallback else None
        if fallback is not None:
            return Found("fallback", fallback.path, fallback.stat)
        raise EntryNotFound(f"nothing lies at {path or '/'} in version {self._version}")

    async def _file(self, path: str) -> Found | None:
        stat = await self._stat(path)
        return Found("file", path, stat) if stat is not None and stat.is_file else None

    async def _stat(self, path: str) -> Stat | None:
        try:
            return await self._archive.stat(path or "/", self._version, wait=self._wait)
        except EntryNotFound:
            return None
