"""`POST /archives/{key}/adopt`, and what cannot be done to archives that are somebody's folder."""

from collections.abc import Callable

from aiohttp import web

from datctl.models_jobs import Job
from datctl.models_writing import AdoptFolder
from datd.hosting.archive import HostedArchive
from datd.hosting.folders.place import is_folder_of_files
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.inputs import read_body, read_query, shown
from datd.http.operation import ARCHIVE, Operation
from datd.http.problems import Problem
from datd.http.stats import NoQuery


class AdoptionRoutes:
    """Handlers of what has to do with folders of the daemon's host."""

    def __init__(self, library: Library, find: Callable[[web.Request], HostedArchive]) -> None:
        self._library = library
        self._find = find

    def operations(self) -> list[Operation]:
        """What can be asked of folders."""
        return [
            Operation(
                "POST",
                f"{ARCHIVE}/adopt",
                self.adopt,
                name="adopt_folder",
                summary="Fill an archive with the files of a folder of the daemon's host",
                scope="control",
                tag="Long work",
                bodies=(AdoptFolder,),
                answers={202: Job},
                sends={"Location": "The job."},
                errors=("unknown_archive", "forbidden", "busy"),
                description="Blocks are taken by their hashes: what differs is fetched from peers.",
            ),
        ]

    async def adopt(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/adopt`: files of a folder fill an archive, by their hashes."""
        read_query(request, NoQuery)
        archive = self._find(request)
        asked = await read_body(request, AdoptFolder)
        job = await self._library.adoption.fill(archive, asked.folder)
        response = shapes.json_response(shapes.job(job), 202)
        response.headers["Location"] = f"/api/v1/jobs/{job.id}"
        return response

    def find_writable(self, request: web.Request) -> HostedArchive:
        """The archive whose files a request wants to change.

        Raises:
            Problem: Its files are those of a folder.
        """
        archive = self._find(request)
        if is_folder_of_files(archive.record) and archive.record.writable:
            raise Problem(
                "conflict",
                f"The files of this archive are those in {shown(archive.record.location or '')}: "
                "change them there, and import the folder again (`rescan`).",
            )
        return archive
