"""Routes of archives of our own: made anew, published from a folder, forked; their secret keys."""

from aiohttp import web

from datctl.models import NoFields
from datctl.models_writing import (
    Described,
    Fork,
    GivenSecretKey,
    NewEmpty,
    NewFolder,
    SecretKey,
)
from datd.hosting.archive import HostedArchive
from datd.hosting.jobs import Job
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.inputs import read_body, read_query
from datd.http.problems import Problem
from datd.http.settings import SettingsReader
from datd.http.stats import NoQuery
from datd.http.version_names import find_version
from datd.records import ImportRules


class OwnRoutes:
    """Handlers of what only the owner of a secret key can do, and of long work on any archive."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._reader = SettingsReader(library)

    async def create(self, asked: NewEmpty) -> HostedArchive:
        """`POST /archives` with `new`."""
        archive = await self._library.create(
            chunking=asked.chunking,
            peers=await self._reader.peers(asked.peers),
            **self._reader.settings(asked),
        )
        fields = _described(asked.new)
        if fields:
            await self._library.publisher.describe(archive, fields)
        return archive

    async def publish(self, asked: NewFolder) -> HostedArchive:
        """`POST /archives` with `folder`: made at once, filled by a job.

        An archive that lies there already is taken over instead, unless told otherwise.
        """
        rules = ImportRules(asked.follow_links, asked.ignore_hidden, asked.delete)
        if asked.adopt == "auto":
            adopted = await self._library.adoption.adopt(
                asked.folder,
                copied=asked.copied,
                described=bool(_described(asked)),
                watch=asked.watch,
                chunking=asked.chunking,
                import_rules=rules,
                peers=await self._reader.peers(asked.peers),
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
            peers=await self._reader.peers(asked.peers),
            **self._reader.settings(asked),
        )

    async def fork(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/fork`."""
        read_query(request, NoQuery)
        source = self._find(request)
        asked = await read_body(request, Fork)
        version = await find_version(self._library.versions, source, asked.version)
        # Before an archive is made: of a version that nobody has, or of nothing, there is no copy.
        await source.stat("/", version)
        if version is None:
            version = (await source.view()).version
        archive, _ = await self._library.workshop.fork(
            source,
            version,
            _described(asked),
            chunking=asked.chunking or source.record.chunking,
            peers=await self._reader.peers(asked.peers),
            **self._reader.settings(asked),
        )
        return await shapes.archive_response(self._library, archive, 201)

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


def _accepted(job: Job) -> web.Response:
    response = shapes.json_response(shapes.job(job), 202)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return response


def _described(asked: Described) -> dict[str, str]:
    given = {"title": asked.title, "description": asked.description}
    return {name: text for name, text in given.items() if text is not None}
