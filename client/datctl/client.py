"""The API as methods, one a route, typed by the models. Asynchronous; no terminal, no disk."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from datctl.connection import Connection, parse
from datctl.endpoint import find_endpoint
from datctl.errors import UsageError
from datctl.files import Files
from datctl.jobs import Jobs
from datctl.models import (
    ApiInfo,
    Archive,
    ArchiveChanges,
    ArchivePage,
    ArchiveStats,
    DaemonStats,
    Mode,
    NewArchive,
    Peer,
    PeerAddress,
    PeerPage,
)
from datctl.routes import PAGE, archive_path
from datctl.versions import Versions
from datctl.writing import Writing


class Client:
    """A daemon, for the time of an `async with`.

    Every method raises `NoDaemon` if nobody answers, `Unauthorized` without a valid token, and
    another `ApiError` if the daemon refuses. `archive` is always a link, a key, a unique beginning
    of a key of at least 6 digits, or a name.

    The methods about archives and the daemon stand here; those about files, versions, long work and
    writing in `Files`, `Versions`, `Jobs` and `Writing`, whose methods are this class's own.
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
        files, versions = Files(self._connection), Versions(self._connection)
        self.list, self.walk, self.head = files.list, files.walk, files.head
        self.stream, self.read, self.open = files.stream, files.read, files.open
        self.history, self.changes = versions.history, versions.changes
        self.diff, self.differences = versions.diff, versions.differences
        jobs, writing = Jobs(self._connection), Writing(self._connection)
        self.jobs, self.job, self.cancel = jobs.jobs, jobs.job, jobs.cancel
        self.finished, self.verify, self.rescan = jobs.finished, jobs.verify, jobs.rescan
        self.create, self.publish, self.fork = writing.create, writing.publish, writing.fork
        self.adopt, self.put, self.mkdir = writing.adopt, writing.put, writing.mkdir
        self.delete, self.secret_key = writing.delete, writing.secret_key
        self.give_secret_key = writing.give_secret_key

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
        path = "/peers" if archive is None else f"{archive_path(archive)}/peers"
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
        mode: Mode = "archive",
        include: Sequence[str] | None = None,
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
            mode: What to keep: every version ("archive"), the newest of each file ("latest"), or
                only what is read or matches `include` ("sparse").
            include: For a sparse one: patterns as in a `.gitignore`, each of the newest version, or
                of versions of its own, as in `+5:/a`, `+5-9:/a/**`, `+5-:*.csv`.
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
        if mode != "archive":
            body.mode = mode
        if include is not None:
            body.include = list(include)
        if networks is not None:
            body.networks = list(networks)
        if domain is not None:
            body.domain = domain
        status, document = await self._connection.call("POST", "/archives", body=body)
        return parse(Archive, document), status == 201

    async def set_networks(self, archive: str, networks: Sequence[str] | None) -> Archive:
        """Choose its discovery networks: None for all of the daemon's, an empty list for none."""
        return await self.change(archive, networks=networks)

    async def set_domain(self, archive: str, domain: str | None) -> Archive:
        """Have `/.well-known/dat` of a domain name it, so that it becomes public, or take it away.

        Raises:
            Conflict: Another archive has that domain.
        """
        return await self.change(archive, domain=domain)

    async def change(self, archive: str, **settings: Any) -> Archive:
        """Host an archive otherwise. `settings` are the fields of `ArchiveChanges`; None clears.

        Raises:
            UsageError: There is no such setting.
            Conflict: Another archive has that name or domain.
        """
        unknown = settings.keys() - ArchiveChanges.model_fields.keys()
        if unknown:
            raise UsageError(f"there is no setting {min(unknown)!r}")
        # As JSON has them, whatever sequence the caller likes.
        given = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in settings.items()
        }
        changes = ArchiveChanges.model_construct(_fields_set=set(given), **given)
        _, document = await self._connection.call("PATCH", archive_path(archive), body=changes)
        return parse(Archive, document)

    async def archive(self, archive: str) -> Archive:
        """One archive."""
        return await self._connection.get(archive_path(archive), Archive)

    async def archive_stats(self, archive: str) -> ArchiveStats:
        """The numbers of one archive that move."""
        return await self._connection.get(f"{archive_path(archive)}/stats", ArchiveStats)

    async def remove(
        self,
        archive: str,
        *,
        keep_data: bool = False,
        force: bool = False,
        delete_key: bool = False,
    ) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept.

        Args:
            archive: Which one.
            keep_data: Leave its files.
            force: Also if it is ours, and may exist nowhere else.
            delete_key: Delete its secret key, too: nobody can ever write it again.

        Raises:
            Conflict: It is ours, and `force` is not given.
        """
        query = {"keep_data": keep_data, "force": force, "delete_key": delete_key}
        await self._connection.call("DELETE", archive_path(archive), query=query)

    async def pause(self, archive: str) -> Archive:
        """Neither fetch nor serve it, until resumed."""
        return parse(
            Archive, (await self._connection.call("POST", f"{archive_path(archive)}/pause"))[1]
        )

    async def resume(self, archive: str) -> Archive:
        """Fetch and serve it again."""
        return parse(
            Archive, (await self._connection.call("POST", f"{archive_path(archive)}/resume"))[1]
        )

    async def add_peer(self, archive: str, address: str) -> Archive:
        """Have a source tried now, and again later. `address` is `host:port`."""
        body = PeerAddress.model_construct(address=address)
        return parse(
            Archive,
            (await self._connection.call("POST", f"{archive_path(archive)}/peers", body=body))[1],
        )
