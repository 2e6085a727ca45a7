"""The API as methods, one a route, typed by the models. Asynchronous; no terminal, no disk."""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from datctl.admission import Admission
from datctl.connection import Connection, parse
from datctl.endpoint import find_endpoint
from datctl.errors import ApiError, UsageError
from datctl.events import Events
from datctl.files import Files
from datctl.jobs import Jobs
from datctl.models import (
    ApiInfo,
    Archive,
    ArchiveChanges,
    ArchivePage,
    ArchiveStats,
    ChosenFields,
    ChosenPage,
    DaemonStats,
    Health,
    Mode,
    NewArchive,
    Peer,
    PeerAddress,
    PeerPage,
)
from datctl.models_diagnosis import Diagnosis
from datctl.models_settings import Setting, SettingList
from datctl.routes import (
    PAGE,
    archive_path,
    idempotent,
    if_match,
    setting_changes,
    several,
)
from datctl.sleep_files import SleepFiles
from datctl.versions import Versions
from datctl.writing import Writing


class Client(Files, Versions, Jobs, Writing, Events, Admission, SleepFiles):
    """A daemon, for the time of an `async with`.

        async with Client() as dat:
            archive, is_new = await dat.add("dat://" + 64 * "a", mode="sparse", paused=True)
            print(archive.link, archive.state)
            await dat.remove(archive.key)

    Every method raises `NoDaemon` if nobody answers, `Unauthorized` without a valid token, and
    another `ApiError` if the daemon refuses. `archive` is always a link, a key, a unique beginning
    of a key of at least 6 digits, or a name.

    The methods about archives and the daemon stand here; those about files, versions, long work and
    writing in `Files`, `Versions`, `Jobs` and `Writing`, those about what happens in `Events`,
    those about who may ask in `Admission`. They are inherited, so that `help(Client)` tells of all
    of them, and a class made from this one may do each otherwise.
    """

    def __init__(
        self,
        api: str | None = None,
        *,
        token: str | None = None,
        env: Mapping[str, str] | None = None,
        on_silence: Callable[[str], None] | None = None,
    ) -> None:
        """Choose a daemon; nothing is sent yet.

        Args:
            api: `http://HOST:PORT` or `unix:///PATH`; by default `$DATD_API`, the Unix socket of
                this host, or its port 3472.
            token: By default `$DATD_TOKEN` or the token file of the daemon on this host.
            env: Instead of the process's environment.
            on_silence: Is told, once, what is being waited for when it takes long, for people.

        Raises:
            UsageError: `api` is no address.
        """
        self.endpoint = find_endpoint(api, token, os.environ if env is None else env)
        super().__init__(Connection(self.endpoint, on_silence))

    def __repr__(self) -> str:
        return f"<datctl.Client of {self.endpoint.shown}>"

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

    async def is_ready(self) -> bool:
        """Whether it has looked over all its archives since it started, and serves them."""
        try:
            await self._connection.call("GET", "/readyz", prefix="")
        except ApiError as error:
            if error.status != 503:
                raise
            return False
        return True

    async def is_alive(self) -> bool:
        """Whether it answers at all: it does, or `NoDaemon` is raised."""
        _, document = await self._connection.call("GET", "/healthz", prefix="")
        return parse(Health, document).status == "alive"

    async def metrics(self) -> str:
        """The daemon's numbers, as Prometheus reads them."""
        return (await self._connection.call("GET", "/metrics", prefix=""))[1].decode()

    async def openapi(self) -> dict[str, Any]:
        """The API, described as OpenAPI 3.1."""
        document: dict[str, Any] = json.loads(
            (await self._connection.call("GET", "/openapi.json"))[1]
        )
        return document

    async def stats(self) -> DaemonStats:
        """The whole daemon in numbers."""
        return await self._connection.get("/stats", DaemonStats)

    async def diagnosis(self) -> Diagnosis:
        """What the daemon finds wrong with itself and its host."""
        return await self._connection.get("/diagnosis", Diagnosis)

    async def settings(self) -> list[Setting]:
        """The daemon's own settings, and where each comes from. Needs `admin`."""
        return (await self._connection.get("/settings", SettingList)).settings

    async def change_settings(self, changes: Mapping[str, Any]) -> list[Setting]:
        """Change some of them while it runs; they hold at once, and over restarts. Needs `admin`.

        Args:
            changes: By name, as in `{"network.upload_limit": 2_000_000}`, in bytes, or bytes a
                second; None goes back to what is configured.

        Raises:
            UsageError: There is no such setting, or it changes only with a restart.
            ApiError: A value is not possible.
        """
        _, document = await self._connection.call(
            "PATCH", "/settings", body=setting_changes(changes)
        )
        return parse(SettingList, document).settings

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
        mode: Mode | None = None,
        writable: bool | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
        limit: int = 100,
        cursor: str | None = None,
    ) -> ArchivePage:
        """One page of archives; for the next one give its `next_cursor` and the same filters.

        Args:
            state: Only those in this state.
            mode: Only those kept so.
            writable: Only ours, or only those of others.
            tags: Only those with all of these tags.
            q: Only those with this text in name, title, description or a tag, or whose key begins
                with it.
            sort: "added", "name", "size", "progress", "peers" or "updated"; a `-` in front of it
                turns the order.
            limit: Archives on the page.
            cursor: The `next_cursor` of the page before.
        """
        query = {
            "state": state, "mode": mode, "writable": writable, "tag": several(tags), "q": q,
            "sort": sort, "limit": limit, "cursor": cursor,
        }  # fmt: skip
        return await self._connection.get("/archives", ArchivePage, query)

    async def all_archives(
        self,
        *,
        state: str | None = None,
        mode: Mode | None = None,
        writable: bool | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
    ) -> AsyncIterator[Archive]:
        """Archives of all pages; for the arguments see `archives`."""
        cursor = None
        while True:
            page = await self.archives(
                state=state, mode=mode, writable=writable, tags=tags, q=q, sort=sort, limit=PAGE,
                cursor=cursor,
            )  # fmt: skip
            for archive in page.archives:
                yield archive
            cursor = page.next_cursor
            if cursor is None:
                return

    async def chosen(
        self,
        fields: Sequence[str],
        *,
        state: str | None = None,
        mode: Mode | None = None,
        writable: bool | None = None,
        tags: Sequence[str] = (),
        q: str | None = None,
        sort: str = "added",
    ) -> AsyncIterator[ChosenFields]:
        """Some fields of the archives of all pages, and always `key`: less to send where many are.

        `fields` are names of fields of `Archive`; for the other arguments see `archives`.
        """
        query = {
            "state": state, "mode": mode, "writable": writable, "tag": several(tags), "q": q,
            "sort": sort, "limit": PAGE, "fields": ",".join(several(fields)) or "key",
        }  # fmt: skip
        cursor = None
        while True:
            page = await self._connection.get("/archives", ChosenPage, query | {"cursor": cursor})
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
        web_sources: Sequence[str] = (),
        domain: str | None = None,
        idempotency_key: str | None = None,
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
            web_sources: Where it lies on web servers, or is replicated by WebSocket.
            domain: Where `/.well-known/dat` names it, so that it becomes public.
            idempotency_key: A text of your own: asked again with it, since the answer was lost, the
                daemon gives the first answer again. To add twice does no harm without it, either.

        Returns:
            The archive, and whether it is new there.

        Raises:
            Conflict: It is hosted with other settings.
        """
        body = NewArchive.model_construct(
            link=link,
            name=name,
            tags=several(tags),
            version=version,
            paused=paused,
            peers=several(peers),
        )
        if mode != "archive":
            body.mode = mode
        if include is not None:
            body.include = several(include)
        if networks is not None:
            body.networks = several(networks)
        if web_sources:
            body.web_sources = several(web_sources)
        if domain is not None:
            body.domain = domain
        status, document = await self._connection.call(
            "POST", "/archives", body=body, headers=idempotent(idempotency_key)
        )
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

    async def change(self, archive: str, *, etag: str | None = None, **settings: Any) -> Archive:
        """Host an archive otherwise. `settings` are the fields of `ArchiveChanges`; None clears.

        Args:
            archive: Which one.
            etag: Only if nobody has changed it since `archive_etag` gave this.
            settings: What is not named stays as it is.

        Raises:
            ApiError: `precondition`: somebody has.
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
        _, document = await self._connection.call(
            "PATCH", archive_path(archive), body=changes, headers=if_match(etag)
        )
        return parse(Archive, document)

    async def archive(self, archive: str) -> Archive:
        """One archive."""
        return await self._connection.get(archive_path(archive), Archive)

    async def archive_etag(self, archive: str) -> str:
        """What stands for how an archive is hosted now, for `change` and `remove`."""
        path = archive_path(archive)
        async with self._connection.request("GET", path, query={"fields": "key"}) as response:
            return response.headers["ETag"]

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
        etag: str | None = None,
    ) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept.

        Args:
            archive: Which one.
            keep_data: Leave its files.
            force: Also if it is ours, and may exist nowhere else.
            delete_key: Delete its secret key, too: nobody can ever write it again.
            etag: Only if nobody has changed it since `archive_etag` gave this.

        Raises:
            Conflict: It is ours, and `force` is not given.
        """
        query = {"keep_data": keep_data, "force": force, "delete_key": delete_key}
        await self._connection.call(
            "DELETE", archive_path(archive), query=query, headers=if_match(etag)
        )

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
