"""The route that tells what is wrong with the daemon and its host."""

from aiohttp import web

from datctl.models_diagnosis import Diagnosis, Finding
from datd.hosting.diagnosis import diagnose
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.inputs import read_query
from datd.http.operation import PREFIX, Operation
from datd.http.stats import NoQuery


class DoctorRoutes:
    """Handler of `GET /diagnosis`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def operations(self) -> list[Operation]:
        """What can be asked."""
        return [
            Operation(
                "GET",
                f"{PREFIX}/diagnosis",
                self.get,
                name="get_diagnosis",
                summary="What is wrong, and what to do about it",
                description="Names folders of the host, archives and addresses, so it is for "
                "administrators. Takes up to some seconds: the disk is tried.",
                scope="admin",
                tag="Daemon",
                answers={200: Diagnosis},
            )
        ]

    async def get(self, request: web.Request) -> web.Response:
        """`GET /diagnosis`."""
        read_query(request, NoQuery)
        found = await diagnose(self._library)
        return shapes.json_response(
            Diagnosis(
                findings=[
                    Finding(check=one.check, state=one.state, text=one.text, advice=one.advice)
                    for one in found
                ]
            )
        )
