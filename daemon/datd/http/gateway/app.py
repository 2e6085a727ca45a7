"""The gateway: from an address to a file, a listing, an older version, or a page that says why not.

Everything is read only, and public to whoever knows the key. There is no cookie, no token, and no
header that would let another origin read (T-41, T-46).
"""

import asyncio
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.http import sleep_files
from datd.http.files import decode_path
from datd.http.gateway import accept, memento, pages, reload
from datd.http.gateway.answers import Answers, Asked, page_response
from datd.http.gateway.headers import PLAIN, archive_headers
from datd.http.gateway.limits import FIRST_BYTE_SECONDS, Doors
from datd.http.gateway.openings import Openings
from datd.http.gateway.origins import Origins, Site, label_of
from datd.http.gateway.reload import News
from datd.http.inputs import shown
from datd.http.problems import Handler, Problem, answer_problems
from datd.http.senders import Senders
from datd.http.version_names import find_version
from datd.http.websocket import refuse_other_sites, replicate
from datd.http.well_known import PATH as WELL_KNOWN
from datd.http.well_known import archive_of_domain
from datd.keys import Key
from datd.settings import GatewaySettings

# Where a web source has the files of its feeds (transports.md section 6).
_SLEEP = "/.dat/"
# When a request that has not begun to answer is given up.
_DEADLINE = web.RequestKey("deadline", asyncio.Timeout)
# Where a path was looked for.
_LOOKED_IN = web.RequestKey("looked_in", Site)


def make_app(library: Library, settings: GatewaySettings, news: News) -> web.Application:
    """The gateway over a library.

    Args:
        library: What is hosted.
        settings: Whom it answers, and how.
        news: Tells that something happened, for pages that follow their archive.
    """
    gateway = Gateway(library, settings, news)
    app = web.Application(middlewares=[_as_page, answer_problems])
    app.router.add_route("*", "/{path:[\\s\\S]*}", gateway.handle)
    app.on_response_prepare.append(_began)
    return app


@web.middleware
async def _as_page(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as pages for whoever reads pages, and the headers that every answer has."""
    response = await handler(request)
    if response.prepared:
        return response
    for name, value in PLAIN.items():
        response.headers.setdefault(name, value)
    if response.content_type != "application/problem+json" or not isinstance(
        response, web.Response
    ):
        return response
    response.headers["Vary"] = "Accept"
    if not accept.names_html(request.headers.get("Accept")):
        return response
    title, text = pages.problem_texts(response.body if isinstance(response.body, bytes) else b"{}")
    # The policy is that of the gateway's own pages, not of the archive in which nothing was found.
    own = {"Content-Type", "Content-Length", "Content-Security-Policy"}
    kept = {name: value for name, value in response.headers.items() if name not in own}
    page = pages.message_page(title, text, _ways_on(request) if response.status == 404 else ())
    return page_response(page, kept, status=response.status)


def _ways_on(request: web.Request) -> list[tuple[str, str]]:
    """Where somebody may look who found nothing in an archive."""
    site = request.get(_LOOKED_IN)
    if site is None or site.path in ("", "/"):
        return []
    version = request.query.get("version")
    query = "" if version is None else f"?version={quote(version, safe='')}"
    above = "../" if site.path.endswith("/") else "./"
    return [(above + query, "The folder above"), (f"{site.prefix}/{query}", "The whole archive")]


async def _began(request: web.Request, _: web.StreamResponse) -> None:
    deadline = request.get(_DEADLINE)
    if deadline is not None:
        deadline.reschedule(None)


class Gateway:
    """The one handler."""

    def __init__(self, library: Library, settings: GatewaySettings, news: News) -> None:
        clock = asyncio.get_running_loop().time
        self._library = library
        self._news = news
        self._doors = Doors(clock)
        self._senders = Senders(settings.proxies)
        self._origins = Origins(settings.hosts, self._domain_key)
        self._openings = Openings(library, settings.open_max, clock) if settings.open else None
        self._answers = Answers(library.versions, fallback_status=settings.fallback_status)
        private = not settings.allow_public and not settings.hosts
        self._names = private if settings.names is None else settings.names

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, within the limits for strangers."""
        with ExitStack() as inside:
            inside.enter_context(self._doors.request(self._senders.address(request)))
            try:
                async with asyncio.timeout(FIRST_BYTE_SECONDS) as deadline:
                    request[_DEADLINE] = deadline
                    return await self._answer(request, inside)
            except TimeoutError:
                raise Problem(
                    "no_peers",
                    f"After {FIRST_BYTE_SECONDS:.0f} seconds no peer had given what is needed, or "
                    "too much was asked of this archive at a time. It may be there later.",
                ) from None
            finally:
                del request[_DEADLINE]

    async def _answer(self, request: web.Request, inside: ExitStack) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise Problem(
                "method", "Archives are only read here, by GET and HEAD.",
                headers={"Allow": "GET, HEAD"},
            )  # fmt: skip
        site = self._origins.read(request)
        if site is None:
            return _front(request, self._names)
        if not site.own_origin and "Service-Worker" in request.headers:
            # It would stand between the browser and every archive of this origin.
            raise Problem("forbidden", "A service worker needs an origin of its own.")
        archive = await self._find(site.reference)
        with nullcontext() if self._openings is None else self._openings.using(archive):
            return await self._show(request, inside, site, archive)

    async def _show(
        self, request: web.Request, inside: ExitStack, site: Site, archive: HostedArchive
    ) -> web.StreamResponse:
        if site.path in ("", "/") and request.headers.get("Upgrade", "").lower() == "websocket":
            refuse_other_sites(request)
            inside.close()  # a peer that calls, with the limits of those (L-18)
            return await replicate(request, self._library.services.swarm.call)
        asked = await self._asked(request, site, archive)
        if site.origins is not None and _is_navigation(request):
            return _redirect(f"//{_label(asked)}.{site.origins}{site.path or '/'}", request)
        if site.path == WELL_KNOWN:
            return archive_of_domain(archive, is_public=site.by_domain)
        if site.path == reload.EVENTS:
            return await self._events(request, asked, inside)
        if site.path == reload.SCRIPT:
            return reload.script(archive_headers(archive.key, site, None))
        if site.path.startswith(_SLEEP):
            return await sleep_files.answer(
                request,
                archive,
                site.path.removeprefix(_SLEEP),
                newest="newest" in request.query,
                headers=archive_headers(archive.key, site, None),
            )
        if site.path == "":
            return _redirect(f"{site.prefix}/", request)
        path = _path(site)
        # From here on as we write it: it goes into headers and lists.
        slash = "/" if site.path.endswith("/") and path != "/" else ""
        site = replace(site, path=quote(path) + slash)
        request[_LOOKED_IN] = site
        asked = replace(asked, site=site)
        gate = request.headers.get("Accept-Datetime")
        if gate is not None and asked.version is None:
            return await self._go_back(request, asked, gate)
        found, view = await self._answers.find(request, asked, "" if path == "/" else path)
        if found.kind == "redirect":
            return _redirect(f"{site.prefix}{quote(path, safe='/')}/", request)
        return await self._answers.respond(request, replace(view, path=path), found)

    async def _asked(self, request: web.Request, site: Site, archive: HostedArchive) -> Asked:
        """Which version is meant: by the address, or by what stands behind its question mark."""
        text = request.query.get("version")
        if text is not None and not 0 < len(text) <= 64:
            raise Problem("bad_request", "`version` has to be a number, a name of one, or a time.")
        if site.version is not None and text not in (None, site.version):
            raise Problem(
                "bad_request",
                f"The address names version {shown(site.version)}, and so does `version`.",
            )
        text = site.version if text is None else text
        number = await find_version(self._library.versions, archive, text, wait=FIRST_BYTE_SECONDS)
        return Asked(site, archive, number, is_fixed=text is not None and text.isdigit())

    async def _find(self, reference: str) -> HostedArchive:
        """The archive with a key, or with exactly that name: no beginning of a key finds any."""
        key = Key(bytes.fromhex(reference)) if len(reference) == 64 and _is_hex(reference) else None
        archive = self._by_name(reference) if key is None else self._by_key(key)
        if archive is None and key is not None and self._openings is not None:
            archive = await self._openings.open(key)
        if archive is None or archive.paused:
            what = f"dat://{reference}" if key is not None else shown(reference)
            raise Problem(
                "unknown_archive",
                f"{what} is not hosted here, or paused. Whoever runs this daemon can host it with "
                f"`datctl add {'LINK' if key is None else f'dat://{reference}'}`.",
            )
        return archive

    def _by_key(self, key: Key) -> HostedArchive | None:
        return self._library.of_discovery_key(key.discovery_key.raw)

    def _by_name(self, name: str) -> HostedArchive | None:
        # A name is easily guessed, which a key is not.
        return self._library.of_name(name) if self._names else None

    def _domain_key(self, host: str) -> str | None:
        archive = self._library.of_domain(host)
        return None if archive is None else archive.key.hex

    async def _events(
        self, request: web.Request, asked: Asked, inside: ExitStack
    ) -> web.StreamResponse:
        # A listener is no request any more: it does nothing.
        with self._doors.stream(self._senders.address(request)):
            headers = archive_headers(asked.archive.key, asked.site, None)
            return await reload.tell_versions(
                request, asked.archive, self._news, headers, inside.close
            )

    async def _go_back(self, request: web.Request, asked: Asked, when: str) -> web.Response:
        """Lead to the version of a time (RFC 7089, 4.1.1)."""
        time = memento.parse_accept_datetime(when)
        version = await self._library.versions.at(asked.archive, time, wait=FIRST_BYTE_SECONDS)
        # Before the first one: the first one is the nearest.
        version = max(1, version)
        path = f"{asked.site.prefix}{asked.site.path}"
        response = web.Response(status=302, headers=PLAIN | {"Cache-Control": "no-cache"})
        response.headers["Location"] = f"{path}?version={version}"
        response.headers["Vary"] = "Accept-Datetime"
        response.headers["Link"] = memento.links(path)
        return response


def _front(request: web.Request, names: bool) -> web.Response:
    if request.rel_url.raw_path != "/":
        raise Problem("no_such_route", "The address of an archive begins with its key.")
    link = request.query.get("link", "").strip()
    if link:
        for scheme in ("dat://", "dat:", "hyper://"):
            link = link.removeprefix(scheme)
        link = link.lstrip("/")
        # A link is in percent encoding already.
        response = _redirect("/" + quote(link, safe="/+%?=&"), None)
        if "/" not in link and "?" not in link:
            response.headers["Location"] += "/"
        return response
    policy = pages.POLICY.replace("form-action 'self'; ", "")
    return page_response(pages.front_page(names), {"Content-Security-Policy": policy})


def _path(site: Site) -> str:
    """The path that an address names, decoded, without slash at its end; "/" is the root.

    Raises:
        Problem: It is none.
    """
    path = decode_path(site.path.removeprefix("/"))
    if not path and site.path != "/":
        # `//` and `/%2F`: a relative link of the page would lead to another host.
        raise Problem("bad_request", f"{shown(site.path)} is not a path: no part may be empty.")
    return f"/{path}"


def _redirect(to: str, request: web.Request | None) -> web.Response:
    query = (
        ""
        if request is None or not request.query_string
        else f"?{request.rel_url.raw_query_string}"
    )
    return web.Response(
        status=302,
        headers=PLAIN | {"Location": to + query, "Cache-Control": "no-store"},
    )


def _is_navigation(request: web.Request) -> bool:
    """Whether a browser is to show the answer as a page, rather than a program or page reads it."""
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return accept.names_html(request.headers.get("Accept"))


def _label(asked: Asked) -> str:
    version = asked.version if asked.site.version is not None else None
    return label_of(asked.archive.key, version)


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in text)
