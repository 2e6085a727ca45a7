"""What the gateway sends of an archive: files, listings in three forms, lists of versions."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from datctl.models import Listing
from datd.archive.manifest import Manifest
from datd.errors import EntryNotFound
from datd.hosting import reading
from datd.hosting.archive import HostedArchive
from datd.hosting.versions import Versions
from datd.hosting.views import EntryView
from datd.http import shapes
from datd.http.file_answer import FileAnswer
from datd.http.files import content_type
from datd.http.gateway import accept, memento, pages, reload
from datd.http.gateway.headers import IMMUTABLE, PLAIN, REVALIDATE, archive_headers, vary
from datd.http.gateway.limits import FIRST_BYTE_SECONDS, STALLED_SECONDS
from datd.http.gateway.memento import Memento
from datd.http.gateway.origins import Site
from datd.http.gateway.site import Found, View
from datd.http.problems import Problem

# L-24: entries of one page, versions of one list.
PAGE = 1_000
# T-27: letters of paths on one page. Odd ones cost two thirds of a microsecond each, and a path can
# have 65,536 of them: a page of such names took ten seconds and more, and all else stood still.
PAGE_LETTERS = 2**18
_FORMS = ("text/html", "application/json", "text/plain")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address names, looked up.

    Attributes:
        site: The address.
        archive: What it leads to.
        version: Number of the version that it names; None: the newest.
        is_fixed: Whether it names that by its number, so that it names it for ever.
    """

    site: Site
    archive: HostedArchive
    version: int | None
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A path of a version of an archive.

    Attributes:
        asked: What was asked for.
        path: The path below the root of the site, decoded; "/" is the root.
        version: Number of the version shown.
        manifest: Its `/dat.json`.
    """

    asked: Asked
    path: str
    version: int
    manifest: Manifest | None

    @property
    def address(self) -> str:
        """Its address without a question mark."""
        return self.asked.site.prefix + self.asked.site.path


class Answers:
    """Makes them."""

    def __init__(self, versions: Versions, *, fallback_status: int) -> None:
        """Nothing is read yet.

        Args:
            versions: Knows what was when.
            fallback_status: What the page for addresses that lead nowhere is sent with.
        """
        self._versions = versions
        self._fallback_status = fallback_status

    async def find(self, request: web.Request, asked: Asked, path: str) -> tuple[Found, Seen]:
        """Find what answers a path, which has no slash at its end.

        Raises:
            Problem: Nothing does.
        """
        archive, wait = asked.archive, FIRST_BYTE_SECONDS
        wanted = archive.record.pinned if asked.version is None else asked.version
        async with archive.opened() as opened:
            version, manifest = await reading.manifest(opened, wanted, wait)
        view = View(archive, version, manifest, wait=wait)
        is_folder = asked.site.path.endswith("/")
        skip = not {"viewSource", "after"}.isdisjoint(request.query)
        try:
            found = await view.find(path, is_folder=is_folder, skip_index=skip)
        except EntryNotFound:
            raise Problem(
                "no_such_file",
                f"Nothing lies at {pages.visible(path) or '/'} in version {version}.",
                headers=archive_headers(archive.key, asked.site, manifest),
            ) from None
        return found, Seen(asked, path or "/", version, manifest)

    async def respond(self, request: web.Request, seen: Seen, found: Found) -> web.StreamResponse:
        """Send what was found."""
        if "timemap" in request.query:
            return await self._timemap(request, seen, found)
        headers = archive_headers(seen.asked.archive.key, seen.asked.site, seen.manifest)
        headers |= {"Hyperdrive-Version": str(seen.version)}
        await self._tell_times(seen, headers)
        if found.kind == "folder":
            return await self._listing(request, seen, found, headers)
        is_page = content_type(found.path).startswith("text/html")
        is_live = "live" in request.query and seen.asked.version is None and is_page
        if is_live and found.stat.size <= reload.MAX_LIVE_PAGE:
            return await self._live_page(seen, found, headers)
        headers["Cache-Control"] = IMMUTABLE if seen.asked.is_fixed else REVALIDATE
        modified = memento.http_date(found.stat.mtime / 1000)
        if modified is not None:
            headers["Last-Modified"] = modified
        status = 200
        if found.kind == "fallback":
            status = self._fallback_status
            headers["Cache-Control"] = REVALIDATE
        answer = FileAnswer(
            request,
            seen.asked.archive,
            found.stat,
            media_type=content_type(found.path),
            headers=headers,
            wait=FIRST_BYTE_SECONDS,
            status=status,
            stalled=STALLED_SECONDS,
        )
        return await answer.respond()

    async def _tell_times(self, seen: Seen, headers: dict[str, str]) -> None:
        """Headers of RFC 7089."""
        if seen.asked.version is None:
            vary(headers, "Accept-Datetime")
            headers["Link"] = memento.links(seen.address)
            return
        archive, number = seen.asked.archive, seen.version
        time = await self._versions.time_of(archive, number, wait=FIRST_BYTE_SECONDS)
        headers["Link"] = memento.links(seen.address, Memento(number, time))
        date = memento.http_date(time)
        if date is not None:
            headers["Memento-Datetime"] = date

    async def _live_page(self, seen: Seen, found: Found, headers: dict[str, str]) -> web.Response:
        archive, stat = seen.asked.archive, found.stat
        pieces = [
            piece async for piece in archive.read(stat, 0, stat.size, wait=FIRST_BYTE_SECONDS)
        ]
        page = reload.with_script(b"".join(pieces), seen.version, seen.asked.site.prefix)
        headers |= {"Cache-Control": "no-store", "Content-Type": content_type(found.path)}
        return web.Response(body=page, headers=headers)

    # ---- folders

    async def _listing(
        self, request: web.Request, seen: Seen, found: Found, headers: dict[str, str]
    ) -> web.Response:
        form = accept.choose(request.headers.get("Accept"), _FORMS)
        vary(headers, "Accept")
        if form is None:
            raise Problem("not_acceptable", f"A folder is listed as {' or '.join(_FORMS)}.")
        archive = seen.asked.archive
        entries, following = await archive.list(
            found.path,
            seen.version,
            after=request.query.get("after"),
            limit=PAGE,
            wait=FIRST_BYTE_SECONDS,
        )
        entries, following = _fitting(entries, following)
        if form == "text/html":
            version = request.query.get("version")
            is_newest = seen.asked.version is None
            prefix = seen.asked.site.prefix
            body = pages.folder_page(
                pages.Folder(
                    title=seen.manifest.title if seen.manifest is not None else "",
                    path=seen.path,
                    prefix=prefix,
                    query="" if version is None else f"?version={quote(version, safe='')}",
                    entries=entries,
                    following=following,
                    version=seen.version,
                    events=prefix + reload.EVENTS if is_newest and not prefix else None,
                )
            )
            # What the author's own policy forbids is no matter of ours: this page is ours.
            # Its form leads to other versions.
            sandbox = "" if seen.asked.site.own_origin else "; sandbox allow-forms"
            headers["Content-Security-Policy"] = pages.POLICY + sandbox
        elif form == "application/json":
            body = Listing(
                key=archive.key.hex,
                path=found.path,
                version=seen.version,
                entries=[shapes.entry(entry) for entry in entries],
                next_cursor=following,
            ).model_dump_json()
        else:
            names = (pages.visible(entry.path.rpartition("/")[2]) for entry in entries)
            kinds = ("/" if entry.kind == "directory" else "" for entry in entries)
            body = "".join(f"{name}{kind}\n" for name, kind in zip(names, kinds, strict=True))
        return _with_tag(request, form, body.encode("utf-8", "replace"), headers)

    # ---- versions

    async def _timemap(self, request: web.Request, seen: Seen, found: Found) -> web.Response:
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) <= 16):
            raise Problem("bad_request", "`since` has to be the number of a version.")
        history = await self._versions.history(
            seen.asked.archive,
            found.path,
            since=int(since),
            limit=PAGE,
            wait=FIRST_BYTE_SECONDS,
        )
        mementos = [
            Memento(entry.seq, entry.stat.ctime / 1000 if entry.stat is not None else None)
            for entry in history.entries
        ]
        headers = PLAIN | {"Hyperdrive-Key": seen.asked.archive.key.hex}
        if not history.complete:
            # What happened before is still being looked for.
            headers["Retry-After"] = "1"
        text = memento.timemap(seen.address, mementos, history.following)
        return web.Response(
            body=text.encode("ascii"),
            headers={
                **headers,
                "Content-Type": "application/link-format",
                "Cache-Control": "no-cache",
            },
        )


def _fitting(entries: list[EntryView], following: str | None) -> tuple[list[EntryView], str | None]:
    """Those of a folder that fit on a page, one at least, and behind which the next one starts."""
    left = PAGE_LETTERS
    for count, entry in enumerate(entries):
        left -= len(entry.path)
        if left < 0 and count:
            return entries[:count], entries[count - 1].path.rpartition("/")[2]
    return entries, following


def page_response(page: str, headers: Mapping[str, str], status: int = 200) -> web.Response:
    """A page of the gateway's own."""
    return web.Response(
        status=status,
        body=page.encode("utf-8", "replace"),
        headers={
            **PLAIN,
            "Content-Security-Policy": pages.POLICY,
            **headers,
            "Content-Type": "text/html; charset=utf-8",
        },
    )


def _with_tag(
    request: web.Request, form: str, body: bytes, headers: dict[str, str]
) -> web.Response:
    """A listing, unless the client has it."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers |= {"ETag": tag, "Cache-Control": REVALIDATE}
    known = request.if_none_match or ()
    if any(one.value == "*" or f'"{one.value}"' == tag for one in known):
        return web.Response(status=304, headers=headers)
    charset = "" if form == "application/json" else "; charset=utf-8"
    headers["Content-Type"] = form + charset
    return web.Response(body=body, headers=headers)
