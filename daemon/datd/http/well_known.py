"""The route `/.well-known/dat`: which archive a domain means, told to everybody who asks.

The `Host` header chooses the archive. The guard lets the domains of archives through to this one
path, without a token: the request comes from the web, by way of a proxy that holds the
certificates and keeps the header.

Source: DEP-0005; discovery.md section 11.
"""

from collections.abc import Callable

from aiohttp import web

from datd.hosting.archive import HostedArchive
from datd.http.operation import Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.naming.names import host_name
from datd.naming.records import DEFAULT_TTL

PATH = "/.well-known/dat"

OfDomain = Callable[[str], HostedArchive | None]


class WellKnownRoutes:
    """Handlers of `/.well-known/`."""

    def __init__(self, of_domain: OfDomain) -> None:
        """Answer for domains.

        Args:
            of_domain: The archive that has a domain (ASCII, lower case), unless it is paused.
        """
        self._of_domain = of_domain

    def operations(self) -> list[Operation]:
        """What can be asked of domains."""
        return [
            Operation(
                "GET",
                PATH,
                self.get,
                name="get_archive_of_domain",
                summary="Which archive the domain in the `Host` header means",
                scope="public",
                tag="Daemon",
                answers={200: None},
                gives="text/plain",
                errors=("no_such_route",),
            ),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """`GET /.well-known/dat`."""
        archive = domain_of(request.headers.get("Host", ""), self._of_domain)
        if archive is None:
            raise Problem("no_such_route", "No archive here has this domain.")
        return archive_of_domain(archive)


def archive_of_domain(archive: HostedArchive, *, is_public: bool = True) -> web.Response:
    """The answer: the archive's link.

    Args:
        archive: Which the domain means.
        is_public: Whether pages of other origins may read it: pages in a browser resolve names as
            programs do. No cookie or token is looked at.
    """
    open_to_pages = {"Access-Control-Allow-Origin": "*"} if is_public else {}
    return web.Response(
        # The slash, as Beaker writes it; both lines as DEP-0005 has them.
        text=f"{archive.key.link}/\nTTL={DEFAULT_TTL}\n",
        headers={**SAFE_HEADERS, **open_to_pages, "Cache-Control": f"max-age={DEFAULT_TTL}"},
    )


def domain_of(host: str, of_domain: OfDomain) -> HostedArchive | None:
    """The archive that a `Host` header names, with or without a port."""
    bare, colon, port = host.rpartition(":")
    name = host_name(bare if colon and port.isdigit() else host)
    return of_domain(name) if name is not None else None
