"""The API as methods, one a route, typed by the models. Asynchronous; no terminal, no disk."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

from datctl.connection import ANSWER_SECONDS, Connection, parse
from datctl.endpoint import find_endpoint
from datctl.errors import ApiError, TransferError, UsageError
from datctl.models import (
    ApiInfo,
    Archive,
    ArchiveChanges,
    ArchivePage,
    ArchiveStats,
    DaemonStats,
    Entry,
    Listing,
    NewArchive,
    Peer,
    PeerAddress,
    PeerPage,
)
from datctl.remote_file import RemoteFile

DEFAULT_WAIT = 30.0
PAGE = 1_000
# A wait for peers is the daemon's to end; this much later its answer is overdue.
_ANSWER_AFTER_WAIT = 15.0


class FileHead(NamedTuple):
    """What is known of a file before it is read: its bytes, its ETag, its media type."""

    size: int
    etag: str
    content_type: str


class Client:
    """A daemon, for the time of an `async with`.

    Every method raises `NoDaemon` if nobody answers, `Unauthorized` without a valid token, and
    another `ApiError` if the daemon refuses. `archive` is always a link, a key, a unique beginning
    of a key of at least 6 digits, or a name.
    """

    def __init__(
        self,
        api: str | None = None,
        *,
        token: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Choose a daemon; nothing is sent yet.

        Args:
            api: `http://HOST:PORT` or `unix:///PATH`; by default `$DATD_API`, the Unix socket of
                this host, or its port 3472.
            token: By default `$DATD_TOKEN` or the token file of the daemon on this host.
            env: Instead of the process's environment.

        Raises:
            UsageError: `api` is no address.
        """
        self.endpoint = find_endpoint(api, token, os.environ if env is None else env)
        self._connection = Connection(self.endpoint)

    async def __aenter__(self) -> Self:
        await self._connection.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.close()

    # ---- the daemon

    async def info(self) -> ApiInfo:
        """What answers there."""
        return await self._connection.get("/", ApiInfo)

    async def stats(self) -> DaemonStats:
        """The whole daemon in numbers."""
        return await self._connection.get("/stats", DaemonStats)

    async def peers(self, archive: str | None = None, *, state: str | None = None) -> list[Peer]:
        """All peers, of one archive or of all."""
        path = "/peers" if archive is None else f"{_archive(archive)}/peers"
        found: list[Peer] = []
        cursor = None
        while True:
            page = await self._connection.get(
                path, PeerPage, {"state": state, "limit": PAGE, "cursor": cursor}
            )
            found += page.peers
            cursor = page.next_cursor
            if cursor is None:
                return found

    # ---- archives

    async def archives(
        self,
        *,
        state: str | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
        limit: int = 100,
        cursor: str | None = None,
    ) -> ArchivePage:
        """One page of archives; for the next one give its `next_cursor` and the same filters."""
        query = {
            "state": state, "tag": list(tags), "q": q, "sort": sort, "limit": limit,
            "cursor": cursor,
        }  # fmt: skip
        return await self._connection.get("/archives", ArchivePage, query)

    async def all_archives(
        self,
        *,
        state: str | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
    ) -> AsyncIterator[Archive]:
        """Archives of all pages."""
        cursor = None
        while True:
            page = await self.archives(
                state=state, tags=tags, q=q, sort=sort, limit=PAGE, cursor=cursor
            )
            for archive in page.archives:
                yield archive
            cursor = page.next_cursor
            if cursor is None:
                return

    async def add(
        self,
        link: str,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        version: int | None = None,
        paused: bool = False,
        peers: Sequence[str] = (),
        networks: Sequence[str] | None = None,
        domain: str | None = None,
    ) -> tuple[Archive, bool]:
        """Host an archive.

        Args:
            link: Any form of its Dat link.
            name: To call it by.
            tags: To find it by.
            version: Mirror this one and nothing newer.
            paused: Fetch and serve nothing yet.
            peers: Sources to try at once, as `host:port`.
            networks: Discovery networks to be on; None for all of the daemon's, an empty list for
                none.
            domain: Where `/.well-known/dat` names it, so that it becomes public.

        Returns:
            The archive, and whether it is new there.

        Raises:
            Conflict: It is hosted with other settings.
        """
        body = NewArchive.model_construct(
            link=link, name=name, tags=list(tags), version=version, paused=paused, peers=list(peers)
        )
        if networks is not None:
            body.networks = list(networks)
        if domain is not None:
            body.domain = domain
        status, document = await self._connection.call("POST", "/archives", body=body)
        return parse(Archive, document), status == 201

    async def set_networks(self, archive: str, networks: Sequence[str] | None) -> Archive:
        """Choose its discovery networks: None for all of the daemon's, an empty list for none."""
        chosen = list(networks) if networks is not None else None
        return await self._change(archive, ArchiveChanges.model_construct(networks=chosen))

    async def set_domain(self, archive: str, domain: str | None) -> Archive:
        """Have `/.well-known/dat` of a domain name it, so that it becomes public, or take it away.

        Raises:
            Conflict: Another archive has that domain.
        """
        return await self._change(archive, ArchiveChanges.model_construct(domain=domain))

    async def _change(self, archive: str, changes: ArchiveChanges) -> Archive:
        _, document = await self._connection.call("PATCH", _archive(archive), body=changes)
        return parse(Archive, document)

    async def archive(self, archive: str) -> Archive:
        """One archive."""
        return await self._connection.get(_archive(archive), Archive)

    async def archive_stats(self, archive: str) -> ArchiveStats:
        """The numbers of one archive that move."""
        return await self._connection.get(f"{_archive(archive)}/stats", ArchiveStats)

    async def remove(self, archive: str, *, keep_data: bool = False) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept."""
        query = {"keep_data": keep_data}
        await self._connection.call("DELETE", _archive(archive), query=query)

    async def pause(self, archive: str) -> Archive:
        """Neither fetch nor serve it, until resumed."""
        return parse(
            Archive, (await self._connection.call("POST", f"{_archive(archive)}/pause"))[1]
        )

    async def resume(self, archive: str) -> Archive:
        """Fetch and serve it again."""
        return parse(
            Archive, (await self._connection.call("POST", f"{_archive(archive)}/resume"))[1]
        )

    async def add_peer(self, archive: str, address: str) -> Archive:
        """Have a source tried now, and again later. `address` is `host:port`."""
        body = PeerAddress.model_construct(address=address)
        return parse(
            Archive,
            (await self._connection.call("POST", f"{_archive(archive)}/peers", body=body))[1],
        )

    # ---- files

    async def list(
        self,
        archive: str,
        path: str = "/",
        *,
        version: int | None = None,
        recursive: bool = False,
        wait: float = DEFAULT_WAIT,
        limit: int = PAGE,
        cursor: str | None = None,
    ) -> Listing:
        """One page of a folder. `wait`: seconds for what has to come from peers first.

        Raises:
            NotFound: No such archive, version or folder.
            NoPeers: Nobody gave the entries in time.
        """
        query = {
            "version": version, "recursive": recursive, "wait": wait, "limit": limit,
            "cursor": cursor,
        }  # fmt: skip
        return await self._connection.get(
            _file(archive, path.rstrip("/") + "/"), Listing, query, silence=_patience(wait)
        )

    async def walk(
        self,
        archive: str,
        path: str = "/",
        *,
        version: int | None = None,
        recursive: bool = True,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[Entry]:
        """Entries of all pages, by default with everything below."""
        cursor = None
        while True:
            page = await self.list(
                archive, path, version=version, recursive=recursive, wait=wait, cursor=cursor
            )
            for entry in page.entries:
                yield entry
            cursor = page.next_cursor
            if cursor is None:
                return

    async def head(
        self,
        archive: str,
        path: str,
        *,
        version: int | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> FileHead | None:
        """What is known of a file; None if the path is a folder."""
        address, query = _file(archive, path), {"version": version, "wait": wait}
        try:
            async with self._connection.request(
                "HEAD", address, query=query, silence=_patience(wait)
            ) as response:
                etag = response.headers.get("ETag")
                size = int(response.headers.get("Content-Length", 0))
                return FileHead(size, etag, response.content_type) if etag else None
        except ApiError:
            # An answer to HEAD has no body, and so no reason in it.
            async with self._connection.request(
                "GET", address, query=query, silence=_patience(wait)
            ):
                raise

    @asynccontextmanager
    async def stream(
        self,
        archive: str,
        path: str,
        *,
        version: int | None = None,
        start: int = 0,
        stop: int | None = None,
        etag: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[AsyncGenerator[bytes]]:
        """The bytes of a file as they come, for the time of an `async with`.

        Args:
            archive: Which one.
            path: Of the file.
            version: Of the archive; None for the newest.
            start: First byte; a negative number counts from the end, and `stop` is None then.
            stop: Behind the last byte; None for the end of the file.
            etag: Only if the file is still the one that had this ETag.
            wait: Seconds for what has to come from peers first.

        Raises:
            NotFound: No such archive, version or file.
            NoPeers: Nobody gave the bytes in time.
            TransferError: The bytes end early (while iterating).
            ApiError: `bad_range`: the file ends before `start`; `precondition`: it has changed.
        """
        headers = _range(start, stop)
        if etag is not None:
            headers["If-Match"] = etag
        async with self._connection.request(
            "GET",
            _file(archive, path),
            query={"version": version, "wait": wait},
            headers=headers,
            silence=_patience(wait),
        ) as response:
            if "ETag" not in response.headers:
                raise UsageError(f"{path} is a folder")
            if headers.get("Range") and response.status != 206:
                raise TransferError("the answer is the whole file, not the range asked for")

            async def chunks() -> AsyncGenerator[bytes]:
                async for chunk in response.content.iter_any():
                    yield chunk

            yield chunks()

    async def read(
        self,
        archive: str,
        path: str,
        *,
        version: int | None = None,
        start: int = 0,
        stop: int | None = None,
        etag: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> bytes:
        """The bytes of a file, or some of them; for the arguments see `stream`."""
        async with self.stream(
            archive, path, version=version, start=start, stop=stop, etag=etag, wait=wait
        ) as chunks:
            return b"".join([chunk async for chunk in chunks])

    @asynccontextmanager
    async def open(
        self,
        archive: str,
        path: str,
        *,
        version: int | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[RemoteFile]:
        """A file object that seeks, for the time of an `async with`.

        Raises:
            NotFound: No such archive, version or file.
            UsageError: It is a folder.
        """
        found = await self.head(archive, path, version=version, wait=wait)
        if found is None:
            raise UsageError(f"{path} is a folder")

        async def fetch(start: int, stop: int) -> bytes:
            return await self.read(
                archive, path, version=version, start=start, stop=stop, etag=found.etag, wait=wait
            )

        yield RemoteFile(found.size, fetch)


def _archive(reference: str) -> str:
    return f"/archives/{quote(reference, safe='')}"


def _file(archive: str, path: str) -> str:
    return f"{_archive(archive)}/files/{quote(path.lstrip('/'), safe='/')}"


def _range(start: int, stop: int | None) -> dict[str, str]:
    if start < 0:
        return {"Range": f"bytes={start}"}
    if stop is not None and stop <= start:
        raise UsageError(f"there is nothing between byte {start} and byte {stop}")
    if start == 0 and stop is None:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}


def _patience(wait: float) -> float:
    return max(ANSWER_SECONDS, wait + _ANSWER_AFTER_WAIT)
