"""Archives as a filesystem of fsspec, by `dat://ARCHIVE/path`: for pandas, DuckDB, xarray, pyarrow.

    import fsspec

    with fsspec.open("dat://recipes/soups/leek.md", "rt") as file:
        print(file.read())

Bytes are read through a daemon, which fetches from peers what is asked for and little more. Needs
the extra `fs`: `pip install 'datd[fs]'`.
"""

import asyncio
import errno
import os
import weakref
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from fsspec.asyn import AsyncFileSystem, sync, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import tokenize

from datctl.client import Client
from datctl.errors import ApiError, NotFound
from datctl.files import read_on
from datctl.fs_file import DatFile, StreamedDatFile
from datctl.fs_paths import (
    add_folders,
    archive_info,
    entry_info,
    folder_info,
    nameable,
    never_changes,
    os_errors,
    split,
)
from datctl.portal import pieces_of
from datctl.routes import DEFAULT_WAIT, Version

# Listings of versions never change, so they are kept: so many folders at most.
_MAX_LISTINGS = 1_000
# A program that ends does not wait longer for its connections to close.
_CLOSE_SECONDS = 0.5


class DatFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """All archives of a daemon.

    A path names an archive as every method of `Client` does (key, name, beginning of a key, with
    `+VERSION` behind it if it is to be an old one) and then what lies in it; the path "" lists the
    archives. Archives of ours can be written, others raise `PermissionError`.

    A file that is opened stays the version that it was; once the archive has changed, its reads
    fail rather than mix two versions. Listings are kept where the path names a version by its
    number, and elsewhere only if `listings_expiry_time` is given.

    Args:
        api: Address of the daemon, as for `Client`; so is `token`.
        token: What it asks for.
        version: Read this version of every archive: a number, a name given to it, or a time.
        wait: Seconds for what has to come from peers; then a read raises `TimeoutError`.
        asynchronous: Whether its coroutines (`_cat_file`, …) are awaited by the caller.
        loop: Event loop to run in, if it is not the one that fsspec has for all.
        options: Further ones of fsspec: `batch_size`, `listings_expiry_time`, …
    """

    protocol = ("dat", "hyper")
    root_marker = ""

    def __init__(
        self,
        api: str | None = None,
        *,
        token: str | None = None,
        version: Version | None = None,
        wait: float = DEFAULT_WAIT,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("max_paths", _MAX_LISTINGS)
        super().__init__(asynchronous=asynchronous, loop=loop, **options)
        self.version = version
        self.wait = wait
        self._expires = options.get("listings_expiry_time") is not None
        self._make = partial(Client, api, token=token)
        self._client = self._make()
        # Where the client is open. fsspec gives the same filesystem to a program's next loop.
        self._home: asyncio.AbstractEventLoop | None = None

    @property
    def fsid(self) -> str:
        """The daemon that is read from."""
        return f"dat-{self._client.endpoint.shown}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        stripped: str = super()._strip_protocol(path)
        return stripped.lstrip("/")

    async def close(self) -> None:
        """End its connections: for programs that chose `asynchronous`; others need not."""
        if self._home is asyncio.get_running_loop():
            self._home = None
            await self._client.__aexit__(None, None, None)

    async def _dat(self) -> Client:
        here = asyncio.get_running_loop()
        if self._home is not here:
            if self._home is not None:
                self._client = self._make()
            self._home = here
            # Sends nothing and waits for nothing: nobody comes between.
            await self._client.__aenter__()
            if not self.asynchronous:
                weakref.finalize(self, _close, self._loop, self._client)
        return self._client

    # ---- what is there

    async def _info(self, path: str, **options: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if not path:
            return folder_info("")
        kept = self._ls_from_cache(path)
        # `etag`: of a file to be opened; without it listings tell which bytes it has only if fixed.
        told = self._is_fixed(path) or not options.get("etag")
        if kept is not None and path not in self.dircache and told:
            return next(info for info in kept if info["name"] == path)
        archive, inner = split(path)
        dat = await self._dat()
        with os_errors(path):
            head = await dat.head(archive, inner, version=self.version, wait=self.wait)
        if head is None:
            return folder_info(path)
        return {"name": path, "size": head.size, "type": "file", "ETag": head.etag}

    async def _ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        path = self._strip_protocol(path)
        found = self._ls_from_cache(path)
        if found is None:
            found = await self._listed(path)
            if self._keeps(path):
                self.dircache[path] = found
        return found if detail else [info["name"] for info in found]

    async def _listed(self, path: str) -> list[dict[str, Any]]:
        dat = await self._dat()
        with os_errors(path):
            if not path:
                return [archive_info(one) async for one in dat.all_archives()]
            try:
                return [info async for info in self._entries(path, recursive=False)]
            except NotFound as error:
                if error.kind != "no_such_file":
                    raise
        info = await self._info(path)
        if info["type"] == "directory":
            raise FileNotFoundError(errno.ENOENT, "it was removed just now", path)
        return [info]

    async def _entries(self, path: str, *, recursive: bool) -> AsyncIterator[dict[str, Any]]:
        archive, inner = split(path)
        dat = await self._dat()
        async for entry in dat.walk(
            archive, inner, version=self.version, recursive=recursive, wait=self.wait
        ):
            if nameable(entry.path):
                yield entry_info(archive, entry)

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Any
    ) -> Any:
        """Everything below in a few requests, unless it is of some depth or of all archives."""
        path = self._strip_protocol(path)
        if maxdepth is not None or not path:
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, **options)
        found: dict[str, dict[str, Any]] = {}
        try:
            info = await self._info(path)
            if info["type"] != "directory":
                found[path] = info
            else:
                if withdirs:
                    found[path] = info
                with os_errors(path):
                    async for inner in self._entries(path, recursive=True):
                        if withdirs:
                            add_folders(found, path, inner["name"])
                        if withdirs or inner["type"] != "directory":
                            found[inner["name"]] = inner
        except FileNotFoundError:
            found.clear()
        names = sorted(found)
        return {name: found[name] for name in names} if options.get("detail") else names

    async def _du(
        self, path: str, total: bool = True, maxdepth: int | None = None, **options: Any
    ) -> Any:
        found = await self._find(path, maxdepth=maxdepth, detail=True, **options)
        sizes = {name: info["size"] for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    async def _modified(self, path: str) -> datetime:
        path = self._strip_protocol(path)
        for info in await self._ls(self._parent(path)):
            if info["name"] == path and info["mtime"] is not None:
                found: datetime = info["mtime"]
                return found
        raise FileNotFoundError(errno.ENOENT, "nothing with a time lies there", path)

    modified = sync_wrapper(_modified)
    # What is written once is never changed: each version of a file has one time.
    created = sync_wrapper(_modified)

    def ukey(self, path: str) -> str:
        """Stands for the bytes of a file; for a folder, for its name."""
        info = sync(self.loop, self._info, path)
        return str(info.get("ETag") or super().ukey(path))

    def checksum(self, path: str) -> int:
        return int(tokenize(self.ukey(path)), 16)

    def invalidate_cache(self, path: str | None = None) -> None:
        if path is None:
            self.dircache.clear()
        else:
            path = self._strip_protocol(path)
            while path:
                self.dircache.pop(path, None)
                path = self._parent(path)
        super().invalidate_cache(path)

    def _keeps(self, path: str) -> bool:
        return self._expires or self._is_fixed(path)

    def _is_fixed(self, path: str) -> bool:
        return (isinstance(self.version, int) and path != "") or never_changes(split(path)[0])

    # ---- reading

    async def _cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        etag: str | None = None,
        again: bool = False,
        **options: Any,
    ) -> bytes:
        # `again`: of an open file, for which a daemon that restarts is waited for.
        path = self._strip_protocol(path)
        if (start or 0) < 0 or (end or 0) < 0:
            info = await self._info(path, etag=True)
            start, end, _ = slice(start, end).indices(info["size"])
            etag = etag or info.get("ETag")
        if end is not None and (start or 0) >= end:
            return b""
        archive, inner = split(path)
        dat = await self._dat()
        of_it: dict[str, Any] = {"version": self.version, "etag": etag, "wait": self.wait}
        with os_errors(path):
            try:
                if again and end is not None:
                    return await read_on(dat, archive, inner, start or 0, end, **of_it)
                return await dat.read(archive, inner, start=start or 0, stop=end, **of_it)
            except ApiError as error:
                if error.kind != "bad_range":
                    raise
                return b""

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **options: Any
    ) -> None:
        path = self._strip_protocol(rpath)
        if (await self._info(path))["type"] == "directory":
            os.makedirs(lpath, exist_ok=True)
        elif hasattr(lpath, "write"):
            await self._fetch_into(path, lpath, callback)
        else:
            Path(lpath).parent.mkdir(parents=True, exist_ok=True)
            with open(lpath, "wb") as file:  # noqa: ASYNC230 - as fsspec does, too
                await self._fetch_into(path, file, callback)

    async def _fetch_into(self, path: str, file: IO[bytes], callback: Any) -> None:
        archive, inner = split(path)
        dat = await self._dat()
        with os_errors(path):
            async with dat.stream(archive, inner, version=self.version, wait=self.wait) as pieces:
                async for piece in pieces:
                    file.write(piece)
                    callback.relative_update(len(piece))

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **options: Any) -> DatFile:
        return DatFile(self, path, mode, block_size, **options)

    async def open_async(self, path: str, mode: str = "rb", **options: Any) -> StreamedDatFile:
        """A file whose `read` is awaited, for filesystems made with `asynchronous=True`."""
        if mode != "rb":
            raise ValueError("only reading is possible asynchronously: write with _pipe_file")
        path = self._strip_protocol(path)
        info = await self._info(path, etag=True)
        if info["type"] != "file":
            raise IsADirectoryError(path)
        return StreamedDatFile(self, path, info)

    # ---- writing

    async def _pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **options: Any
    ) -> None:
        await self._write(path, bytes(value), new=mode == "create")

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **options: Any,
    ) -> None:
        if os.path.isdir(lpath):  # noqa: ASYNC240
            await self._makedirs(rpath, exist_ok=True)
            return
        with open(lpath, "rb") as file:  # noqa: ASYNC230 - a local file, as fsspec does, too
            callback.set_size(os.fstat(file.fileno()).st_size)
            await self._write(rpath, _told(pieces_of(file), callback), new=mode == "create")

    async def _cp_file(self, path1: str, path2: str, **options: Any) -> None:
        path1 = self._strip_protocol(path1)
        if (await self._info(path1))["type"] == "directory":
            await self._makedirs(path2, exist_ok=True)
            return
        archive, inner = split(path1)
        dat = await self._dat()
        with os_errors(path1):
            async with dat.stream(archive, inner, version=self.version, wait=self.wait) as pieces:
                await self._write(path2, pieces, new=False)

    def write_open_file(self, path: str, file: IO[bytes], *, new: bool = False) -> None:
        """Write the bytes of an open file from where it stands, as `DatFile` does at its end."""
        sync(self.loop, self._write, path, pieces_of(file), new=new)

    async def _write(self, path: str, content: bytes | AsyncIterable[bytes], *, new: bool) -> None:
        path = self._strip_protocol(path)
        archive, inner = self._writable(path)
        dat = await self._dat()
        with os_errors(path):
            try:
                await dat.put(archive, inner, content, new=new)
            except ApiError as error:
                if error.kind != "precondition":
                    raise
                raise FileExistsError(errno.EEXIST, "there is something already", path) from error
        self.invalidate_cache(path)

    async def _rm_file(self, path: str, **options: Any) -> None:
        await self._remove(path, recursive=False)

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        if not recursive or maxdepth is not None:
            await super()._rm(path, recursive, batch_size, maxdepth, **options)
            return
        # A folder with all that is in it is one request.
        for one in await self._expand_path(path):
            await self._remove(one, recursive=True)

    async def _rmdir(self, path: str) -> None:
        if (await self._info(path))["type"] != "directory":
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder", path)
        await self._remove(path, recursive=False)

    rmdir = sync_wrapper(_rmdir)

    async def _remove(self, path: str, *, recursive: bool) -> None:
        path = self._strip_protocol(path)
        archive, inner = self._writable(path)
        dat = await self._dat()
        with os_errors(path):
            await dat.delete(archive, inner, recursive=recursive)
        self.invalidate_cache(path)

    async def _mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        path = self._strip_protocol(path)
        archive, inner = self._writable(path)
        dat = await self._dat()
        with os_errors(path):
            await dat.mkdir(archive, inner)
        self.invalidate_cache(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        # Folders above are there by what lies in them.
        try:
            await self._mkdir(path)
        except FileExistsError:
            if not exist_ok or not await self._isdir(path):
                raise

    def _writable(self, path: str) -> tuple[str, str]:
        """Archive and path of what is to be written.

        Raises:
            PermissionError: It is an archive, or of a version that is over.
        """
        archive, inner = split(path)
        if inner == "/":
            raise PermissionError(
                errno.EPERM, "archives are made and removed with `Client`, not as folders", path
            )
        if self.version is not None or never_changes(archive):
            raise PermissionError(errno.EROFS, "a version of an archive never changes", path)
        return archive, inner


async def _told(pieces: AsyncIterable[bytes], callback: Any) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece
        callback.relative_update(len(piece))


def _close(loop: asyncio.AbstractEventLoop, client: Client) -> None:
    # At the end of a program its loop may be gone, and the connections with it.
    if loop.is_running():
        with suppress(Exception):
            ended = asyncio.run_coroutine_threadsafe(client.__aexit__(None, None, None), loop)
            if not _is_of(loop):  # else it collects us as garbage, and cannot wait for itself
                ended.result(_CLOSE_SECONDS)


def _is_of(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this thread is that of the loop."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop() is loop
    return False
