"""Routes of archives of our own: made anew, published from a folder, forked; their secret keys."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from pydantic import BaseModel

from datctl.models import Archive, NoFields
from datctl.models_jobs import Job as JobModel
from datctl.models_writing import (
    Described,
    Fork,
    GivenSecretKey,
    NewEmpty,
    NewFolder,
    SecretKey,
)
from datd.errors import ArchiveExists
from datd.hosting.archive import HostedArchive
from datd.hosting.jobs import Job
from datd.hosting.library import Library
from datd.hosting.own.founding import Noted
from datd.hosting.settings import Settings, require_same
from datd.http import shapes
from datd.http.access import access_of
from datd.http.inputs import Query, read_body, read_query
from datd.http.operation import ARCHIVE, Operation
from datd.http.problems import Problem
from datd.http.replays import ABOUT, Replays
from datd.http.settings import SettingsReader
from datd.http.stats import NoQuery
from datd.http.version_names import find_version
from datd.http.versions import Wait
from datd.keys import Key
from datd.records import ImportRules
from datd.types import Address

_RULES = {"follow_links", "ignore_hidden", "delete"}


class ForkQuery(Query):
    """Parameters of `POST /archives/{key}/fork`.

    Attributes:
        wait: Seconds to wait for what has to come from peers.
    """

    wait: Wait = 30.0


class OwnRoutes:
    """Handlers of what only the owner of a secret key can do, and of long work on any archive."""

    def __init__(self, library: Library, replays: Replays) -> None:
        self._library = library
        self._reader = SettingsReader(library)
        self._replays = replays
        # The same folder twice at once is one archive.
        self._publishing = asyncio.Lock()

    def operations(self) -> list[Operation]:
        """What can be asked of archives of our own, and what takes long."""
        return [
            Operation(
                "POST",
                f"{ARCHIVE}/fork",
                self.fork,
                name="fork_archive",
                summary="Copy a version of an archive to a new one of our own",
                scope="control",
                tag="Long work",
                query=ForkQuery,
                headers=ABOUT,
                bodies=(Fork,),
                examples={"The newest version": {"title": "My copy"}},
                answers={201: Archive},
                sends={"Location": "The new archive."},
                errors=(
                    "unknown_archive",
                    "no_such_version",
                    "exists",
                    "damaged",
                    "no_peers",
                    "busy",
                    "disk_full",
                    "read_only",
                    "conflict",
                    "reused_key",
                ),
                description="The new archive is there at once; a job (its field `job`) fills it.",
            ),
            Operation(
                "POST",
                f"{ARCHIVE}/rescan",
                self.rescan,
                name="rescan_archive",
                summary="Import the folder again that an archive is published from",
                scope="control",
                tag="Long work",
                bodies=(NoFields,),
                answers={202: JobModel},
                sends={"Location": "The job."},
                errors=("unknown_archive", "forbidden", "busy"),
                description="Of a copy that is not complete: go on with it.",
            ),
            Operation(
                "POST",
                f"{ARCHIVE}/verify",
                self.verify,
                name="verify_archive",
                summary="Read and hash every block; damaged ones are fetched again",
                scope="control",
                tag="Long work",
                bodies=(NoFields,),
                answers={202: JobModel},
                sends={"Location": "The job."},
                errors=("unknown_archive", "busy"),
            ),
            Operation(
                "GET",
                f"{ARCHIVE}/secret_key",
                self.secret_key,
                name="get_secret_key",
                summary="The secret key of an archive of ours: whoever has it can write it",
                scope="admin",
                tag="Secret keys",
                answers={200: SecretKey},
                errors=("unknown_archive", "no_secret_key", "damaged"),
            ),
            Operation(
                "PUT",
                f"{ARCHIVE}/secret_key",
                self.take_secret_key,
                name="put_secret_key",
                summary="Give the daemon the secret key of an archive: from now on it writes it",
                scope="admin",
                tag="Secret keys",
                bodies=(GivenSecretKey,),
                answers={200: Archive},
                errors=("unknown_archive", "damaged", "disk_full", "read_only"),
            ),
        ]

    async def create(
        self, asked: NewEmpty, peers: Sequence[Address], noted: Noted | None = None
    ) -> HostedArchive:
        """`POST /archives` with `new`; for `peers` and `noted` see `Library.create`."""
        archive = await self._library.create(
            chunking=asked.chunking,
            noted=noted,
            peers=peers,
            **self._reader.settings(asked),
        )
        await self.go_on(archive, asked)
        return archive

    async def go_on(self, archive: HostedArchive, asked: BaseModel) -> None:
        """What is still to be done for an archive of ours that was made, perhaps before a stop.

        Raises:
            Busy: Too much is under way.
            StorageError: The disk refuses.
        """
        if isinstance(asked, NewEmpty):
            fields = _described(asked.new)
            # Its first entry is all that is to be done.
            if fields and (await archive.view()).version == 0:
                await self._library.publisher.describe(archive, fields)
        elif isinstance(asked, NewFolder):
            await self._library.workshop.begin(archive, _described(asked))

    async def publish(
        self, asked: NewFolder, peers: Sequence[Address], noted: Noted | None = None
    ) -> tuple[HostedArchive, bool]:
        """`POST /archives` with `folder`: made at once, filled by a job.

        An archive that lies there already is taken over instead, and a folder that is published
        already stays that archive, unless told otherwise (`adopt`: "never").

        Args:
            asked: The folder, and how.
            peers: As in `Library.create`; so is `noted`.
            noted: See there.

        Returns:
            The archive, and whether it is new here.
        """
        async with self._publishing:
            there = await self._published(asked.folder) if asked.adopt == "auto" else None
            if there is not None:
                _require_same(there, asked, self._reader.settings(asked))
                return there, False
            if asked.adopt == "auto" and asked.copied:
                copied = await self._copied_again(asked)
                if copied is not None:
                    return copied, False
            return await self._publish(asked, peers, noted), True

    async def _published(self, folder: str) -> HostedArchive | None:
        """The archive that a folder is published as, or taken over as."""
        path = str(await asyncio.to_thread(self._library.services.roots.folder, folder))
        for archive in self._library.archives():
            if path in (archive.record.source, archive.record.location):
                return archive
        return None

    async def _copied_again(self, asked: NewFolder) -> HostedArchive | None:
        """The archive of a folder that was copied before, on its way to what it lacks."""
        hosted = await self._library.adoption.hosted_elsewhere(asked.folder)
        if hosted is None:
            return None
        _require_same(hosted[0], asked, self._reader.settings(asked))
        self._library.adoption.copy_again(*hosted)
        return hosted[0]

    async def _publish(
        self, asked: NewFolder, peers: Sequence[Address], noted: Noted | None
    ) -> HostedArchive:
        rules = ImportRules(asked.follow_links, asked.ignore_hidden, asked.delete)
        if asked.adopt == "auto":
            adopted = await self._library.adoption.adopt(
                asked.folder,
                copied=asked.copied,
                described=bool(_described(asked)),
                watch=asked.watch,
                chunking=asked.chunking,
                import_rules=rules,
                peers=peers,
                **self._reader.settings(asked),
            )
            if adopted is not None:
                return adopted
        return await self._library.workshop.publish(
            asked.folder,
            _described(asked),
            chunking=asked.chunking,
            watch=asked.watch,
            import_rules=rules,
            noted=noted,
            peers=peers,
            **self._reader.settings(asked),
        )

    async def fork(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/fork`."""
        query = read_query(request, ForkQuery)
        return await self._replays.once(
            request, lambda noted: self._forked(request, query.wait, noted), self._fork_again
        )

    async def _fork_again(self, key: Key) -> web.Response | None:
        """The answer to a request whose fork is there, filled or not."""
        archive = self._library.of_discovery_key(key.discovery_key.raw)
        if archive is None:
            return None
        if archive.record.forking is not None:
            self._library.workshop.go_on(archive)
        return await shapes.made_response(self._library, archive)

    async def _forked(self, request: web.Request, wait: float, noted: Noted | None) -> web.Response:
        source = self._find(request)
        asked = await read_body(request, Fork)
        version = await find_version(self._library.versions, source, asked.version, wait=wait)
        # Before an archive is made: of a version that nobody has, or of nothing, there is no copy.
        await source.stat("/", version, wait=wait)
        if version is None:
            version = (await source.view()).version
        archive, _ = await self._library.workshop.fork(
            source,
            version,
            _described(asked),
            chunking=asked.chunking or source.record.chunking,
            noted=noted,
            peers=await self._reader.peers(asked.peers, access_of(request)),
            **self._reader.settings(asked),
        )
        return await shapes.made_response(self._library, archive)

    async def rescan(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/rescan`."""
        archive = await self._verb(request)
        return _accepted(await self._library.workshop.rescan(archive))

    async def verify(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/verify`."""
        return _accepted(self._library.workshop.verify(await self._verb(request)))

    async def secret_key(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}/secret_key`."""
        read_query(request, NoQuery)
        archive = self._find(request)
        secret = await self._library.secret_of(archive)
        if secret is None:
            raise Problem("no_secret_key", "The secret key of this archive is not here.")
        return shapes.json_response(SecretKey(key=archive.key.hex, secret_key=secret.hex()))

    async def take_secret_key(self, request: web.Request) -> web.Response:
        """`PUT /archives/{key}/secret_key`."""
        read_query(request, NoQuery)
        archive = self._find(request)
        asked = await read_body(request, GivenSecretKey)
        await self._library.take_secret(archive, bytes.fromhex(asked.secret_key))
        return await shapes.archive_response(self._library, archive)

    async def _verb(self, request: web.Request) -> HostedArchive:
        read_query(request, NoQuery)
        await read_body(request, NoFields)
        return self._find(request)

    def _find(self, request: web.Request) -> HostedArchive:
        return self._library.find(request.match_info["key"])


def _require_same(there: HostedArchive, asked: NewFolder, settings: Settings) -> None:
    """Check that a folder is published as it is asked for.

    Raises:
        ArchiveExists: It is published otherwise.
    """
    record, given = there.record, asked.model_fields_set
    # What is not named is not asked for, whatever it would be for a new archive.
    if "mode" not in given:
        settings["mode"] = record.mode
    require_same(record, None, settings)
    rules = ImportRules(asked.follow_links, asked.ignore_hidden, asked.delete)
    # Until the first import has ended nobody knows what the archive says of itself.
    summary = record.summary
    differs = (
        _other(asked.title, summary.title)
        or _other(asked.description, summary.description)
        or ("watch" in given and asked.watch != record.watch)
        or ("chunking" in given and asked.chunking != record.chunking)
        or (bool(given & _RULES) and rules != record.import_rules)
    )
    if differs:
        raise ArchiveExists(
            "this folder is published already, with other settings: change those of its archive, "
            "or ask without naming any"
        )


def _other(asked: str | None, known: str) -> bool:
    return bool(asked and known) and asked != known


def _accepted(job: Job) -> web.Response:
    response = shapes.json_response(shapes.job(job), 202)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return response


def _described(asked: Described) -> dict[str, str]:
    given = {"title": asked.title, "description": asked.description}
    return {name: text for name, text in given.items() if text is not None}
