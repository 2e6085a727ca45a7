"""`POST /archives`: host somebody's archive, publish a folder of this host, make a new one."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from datctl.models import Archive, NewArchive
from datctl.models_writing import NewEmpty, NewFolder
from datd.errors import KeyFormatError, VersionNotFound
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.library import Library
from datd.hosting.own.founding import Noted
from datd.hosting.pinning import keep_for_operator
from datd.hosting.settings import Settings
from datd.http import replays, shapes
from datd.http.access import access_of
from datd.http.gateway.openings import is_opened
from datd.http.inputs import read_one_of, read_query
from datd.http.operation import ARCHIVES, Operation
from datd.http.own_archives import OwnRoutes
from datd.http.problems import Problem
from datd.http.replays import Replays
from datd.http.settings import SettingsReader
from datd.http.stats import NoQuery
from datd.http.version_names import split_link, version_of
from datd.keys import Key, Link, parse_version
from datd.naming.resolver import Names, Resolved
from datd.types import Address

# Nobody's: it is there to be read in the documentation.
_LINK = "dat://" + 32 * "ab"


class ArchiveRoutes:
    """Handler of what adds archives."""

    def __init__(
        self, library: Library, own: OwnRoutes, replays: Replays, names: Names | None = None
    ) -> None:
        self._library = library
        self._replays = replays
        self._names = names
        self._reader = SettingsReader(library)
        self._own = own

    def operations(self) -> list[Operation]:
        """What adds archives."""
        return [
            Operation(
                "POST",
                ARCHIVES,
                self.add,
                name="add_archive",
                summary="Host an archive: somebody's, a folder of this host, or a new one",
                scope="control",
                tag="Archives",
                bodies=(NewArchive, NewFolder, NewEmpty),
                answers={200: Archive, 201: Archive},
                sends={"Location": "The archive."},
                errors=(
                    "bad_link",
                    "forbidden",
                    "unknown_name",
                    "exists",
                    "conflict",
                    "damaged",
                    "busy",
                    "name_unreachable",
                    "disk_full",
                    "read_only",
                    "reused_key",
                ),
                headers=replays.ABOUT,
                examples={
                    "Somebody's": {"link": _LINK, "tags": ["example"]},
                    "A new one": {"new": {"title": "My data"}, "name": "my-data"},
                },
                description=(
                    "With `link` somebody's archive, with `folder` a folder of the daemon's host, "
                    "with `new` an empty one of our own. 200 if it is hosted already and nothing "
                    "else is asked for: links and folders can be added as often as you like. "
                    "`peers` in the daemon's own host or network are for the scope `admin`."
                ),
            ),
        ]

    async def add(self, request: web.Request) -> web.Response:
        """`POST /archives`: 201, or 200 if it is hosted already and nothing else is asked."""
        read_query(request, NoQuery)
        return await self._replays.once(
            request,
            lambda noted: self._added(request, noted),
            lambda key: self._go_on(request, key),
        )

    async def _added(self, request: web.Request, noted: Noted | None) -> web.Response:
        asked = await self._asked(request)
        peers = await self._reader.peers(asked.peers, access_of(request))
        stale, new = False, True
        if isinstance(asked, NewFolder):
            archive, new = await self._own.publish(asked, peers, noted)
        elif isinstance(asked, NewEmpty):
            archive = await self._own.create(asked, peers, noted)
        else:
            archive, new, stale = await self._add(asked, peers)
        return await shapes.made_response(self._library, archive, 201 if new else 200, stale=stale)

    async def _go_on(self, request: web.Request, key: Key) -> web.Response | None:
        """Bring a request to its end that was cut short when it had made an archive."""
        archive = self._library.of_discovery_key(key.discovery_key.raw)
        if archive is None:
            return None
        await self._own.go_on(archive, await self._asked(request))
        return await shapes.made_response(self._library, archive, 201)

    async def _asked(self, request: web.Request) -> NewArchive | NewFolder | NewEmpty:
        asked = await read_one_of(
            request, {"link": NewArchive, "folder": NewFolder, "new": NewEmpty}
        )
        if not isinstance(asked, NewArchive | NewFolder | NewEmpty):
            raise AssertionError(asked)
        return asked

    async def _add(
        self, asked: NewArchive, peers: Sequence[Address]
    ) -> tuple[HostedArchive, bool, bool]:
        settings = self._reader.settings(asked)
        bare, named = split_link(asked.link)
        resolved = await self._resolve(bare)
        link = resolved.link
        version = self._version(link.key, named)
        if asked.version and version and asked.version != version:
            raise Problem(
                "bad_request",
                f"The link names version {version} and `version` says {asked.version}; "
                "give one of them.",
            )
        await self._take_over(link.key, asked.version or version, settings)
        archive, new = await self._library.add(
            link.key,
            version=asked.version or version,
            peers=peers,
            shortname=resolved.name,
            **settings,
        )
        await keep_for_operator(self._library, archive)
        return archive, new, resolved.stale

    async def _take_over(self, key: Key, version: int | None, asked: Settings) -> None:
        """What the gateway fetched for a stranger becomes the operator's, hosted as he asks."""
        archive = self._library.of_discovery_key(key.discovery_key.raw)
        if archive is None or not is_opened(archive):
            return
        fields: dict[str, Any] = {**asked, "pinned": version}
        paused = fields.pop("paused", False)
        networks = asked.get("networks")
        fields["networks"] = None if networks is None else sorted(set(networks))
        await self._library.change(archive, Changes(fields))
        if paused:
            await archive.pause()

    async def _resolve(self, text: str) -> Resolved:
        try:
            if self._names is not None:
                return await self._names.resolve(text)
            return Resolved(Link.parse(text))
        except KeyFormatError as error:
            raise Problem("bad_link", f"{error}.", fields=[("/link", str(error))]) from error

    def _version(self, key: Key, named: str | None) -> int | None:
        """What stands behind the + of a link. Tags are ours: only of what is hosted they say a lot.

        Raises:
            Problem: It is nothing that names a version, or none here.
        """
        if named is None or named.lower() == "latest":
            return None
        try:
            known = self._library.of_discovery_key(key.discovery_key.raw)
            if known is not None:
                return version_of(known.record, named)
            return parse_version(named, f"{key.link}+{named}")
        except (KeyFormatError, VersionNotFound) as error:
            raise Problem("bad_link", f"{error}.", fields=[("/link", str(error))]) from error
