"""From names to keys: remembered, or asked of resolvers and of the host itself.

Source: discovery.md section 11 (DEP-0005, dat-dns 3.2.1).
"""

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from aiohttp.abc import AbstractResolver
from yarl import URL

from datd.errors import (
    ConfigError,
    DatdError,
    KeyFormatError,
    NameNotFound,
    NameUnreachable,
    StorageError,
    WebError,
)
from datd.keys import Key, KnownName, Link, holds_key
from datd.naming import names, records
from datd.naming.cache import NameCache
from datd.naming.destinations import Network
from datd.naming.records import Found
from datd.naming.web import Web

_log = logging.getLogger(__name__)

# What dat-dns waits for a resolver, and for the whole answer of a host.
RESOLVER_SECONDS = 2.0
HOST_SECONDS = 5.0
# What `dat clone https://…` waits for a page.
PAGE_SECONDS = 1.5
# L-27: two lines are less than 200 bytes.
MAX_WELL_KNOWN = 4 * 1024
# All TXT records of a domain come at once; those of large companies fill 10 KiB of JSON.
MAX_ANSWER = 64 * 1024
# Registries of archives sent a few hundred bytes of JSON; of other pages the header is enough.
MAX_PAGE = 64 * 1024
# With every one of them silent, somebody waits for 6 s before the host itself is asked.
MAX_RESOLVERS = 3
_GONE = frozenset({404, 410})

Save = Callable[[KnownName, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a text leads to.

    Attributes:
        link: Key, version and path.
        name: The name that was looked up; None if the text held the key itself.
        stale: Nobody could be asked, so this is what the name meant when somebody last could.
    """

    link: Link
    name: str | None = None
    stale: bool = False


class Names:
    """All that is known of names, and the way to find out more."""

    def __init__(
        self,
        *,
        known: Iterable[KnownName],
        save: Save,
        wall_clock: Callable[[], float],
        choose: Callable[[int], int],
        resolvers: Sequence[str] = (),
        allow: Sequence[Network] = (),
        ssl_context: ssl.SSLContext | None = None,
        lookup: AbstractResolver | None = None,
        port: int = 443,
    ) -> None:
        """Nothing is asked before somebody wants to know.

        Args:
            known: What was saved before.
            save: Keeps an answer over restarts, and forgets the names listed with it.
            wall_clock: Seconds since 1970.
            choose: Gives a random number from 0 to below its argument.
            resolvers: Addresses (`https://…`) that answer DNS questions in JSON; none: TXT records
                are not looked up.
            allow: Networks that names may lead to although they are not public.
            ssl_context: Whom to trust; None: whom this system trusts.
            lookup: Turns names into addresses; None: as this system does.
            port: Where hosts serve `.well-known/dat`, and resolvers whose address names no other.

        Raises:
            ConfigError: A resolver is no address of the web.
        """
        self._cache = NameCache(known)
        self._save = save
        self._wall_clock = wall_clock
        self._choose = choose
        self._resolvers = [_resolver(text) for text in resolvers]
        self._hosts = Web(allow=allow, ssl_context=ssl_context, resolver=lookup, port=port)
        # The user chose them, so they may stand in the user's own network.
        everywhere = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
        self._trusted = Web(allow=everywhere, ssl_context=ssl_context, resolver=lookup, port=port)

    async def resolve(self, text: str) -> Resolved:
        """Find out what a link means, asking others if it holds a name.

        Raises:
            KeyFormatError: It holds neither a key nor a name.
            NameNotFound: The name leads nowhere.
            NameUnreachable: Nobody could be asked, now or earlier.
        """
        named = _read(text)
        if isinstance(named, Link):
            return Resolved(named)
        shown = await self._ask_page(named.page) if named.page is not None else None
        if shown is not None:
            # Other pages of its host stand for other archives, so the host is no name of this one.
            return Resolved(Link(shown))
        key, stale = await self._look_up(named.host)
        return Resolved(Link(key, named.version, named.path), named.host, stale)

    async def close(self) -> None:
        """End; look-ups under way fail."""
        await self._hosts.close()
        await self._trusted.close()

    async def _look_up(self, host: str) -> tuple[Key, bool]:
        """The key, and whether it is only what was known earlier."""
        now = self._wall_clock()
        fresh = self._cache.fresh(host, now)
        if fresh is not None:
            return fresh.key, False
        error = self._cache.miss(host, now)
        if error is None:
            try:
                return (await self._ask(host)).key, False
            except (NameNotFound, NameUnreachable) as caught:
                error = caught
        old = self._cache.any_age(host)
        if old is None:
            # Its own traceback is no use to whoever asks next.
            raise type(error)(str(error))
        _log.warning("%s; going on with what %s meant earlier", error, host)
        return old.key, True

    async def _ask(self, host: str) -> Found:
        found = await self._ask_resolvers(host) or await self._ask_host(host)
        # dat-dns: an answer with ttl 0 is for this one question.
        if found.ttl:
            known = KnownName(host, found.key, self._wall_clock() + found.ttl)
            dropped = self._cache.put(known)
            try:
                await self._save(known, dropped)
            except StorageError as error:
                _log.error("%s: it will be asked again after a restart (%s)", host, error)
        return found

    async def _ask_resolvers(self, host: str) -> Found | None:
        left = list(self._resolvers)
        for _ in range(min(len(left), MAX_RESOLVERS)):
            resolver = left.pop(self._choose(len(left)))
            # The dot of the root keeps a resolver from trying it under domains of its own.
            url = resolver.update_query(name=f"{host}.", type="TXT")
            try:
                page = await self._trusted.get(
                    url,
                    seconds=RESOLVER_SECONDS,
                    limit=MAX_ANSWER,
                    redirects=0,
                    headers={"Accept": "application/dns-json"},  # Cloudflare insists on it
                )
                if page.status != 200:
                    raise WebError(f"{resolver.host} answered with status {page.status}")
                return records.parse_txt_answer(page.body)
            except (WebError, ValueError) as error:
                _log.info("the resolver %s did not help: %s", resolver.host, error)
        return None

    async def _ask_page(self, link: str) -> Key | None:
        """The key that a page of the web tells of; most pages tell of none."""
        try:
            url = URL(link).with_fragment(None)
            page = await self._hosts.get(url, seconds=PAGE_SECONDS, limit=MAX_PAGE, whole=False)
        except (WebError, ValueError) as error:
            _log.debug("a page tells of no archive: %s", error)
            return None
        return records.parse_page(page.headers, page.body) if page.status == 200 else None

    async def _ask_host(self, host: str) -> Found:
        url = URL.build(scheme="https", host=host, path="/.well-known/dat")
        try:
            page = await self._hosts.get(url, seconds=HOST_SECONDS, limit=MAX_WELL_KNOWN)
        except WebError as error:
            raise self._missed(
                host,
                NameUnreachable(
                    f"nobody could say which archive {host} means: {error}; try again in a "
                    "minute, or use the archive's key"
                ),
            ) from error
        if page.status in _GONE:
            raise self._missed(
                host,
                NameNotFound(
                    f"no archive stands behind {host}: it has no /.well-known/dat; check the name, "
                    "or use the archive's key"
                ),
            )
        if page.status != 200:
            raise NameUnreachable(
                f"{host} could not say which archive it means (status {page.status}); try again "
                "later, or use the archive's key"
            )
        found = records.parse_well_known(page.body)
        if found is None:
            raise NameNotFound(
                f"no archive stands behind {host}: its /.well-known/dat does not begin with "
                "dat:// and a key"
            )
        return found

    def _missed(self, host: str, error: DatdError) -> DatdError:
        self._cache.put_miss(host, type(error)(str(error)), self._wall_clock())
        return error


def _read(text: str) -> Link | names.Named:
    if holds_key(text):
        return Link.parse(text)
    named = names.parse(text)
    if named is not None:
        return named
    shown = repr(text if len(text) <= 80 else text[:79] + "…")
    raise KeyFormatError(
        f"{shown} is not a Dat link: expected 64 hex digits, dat://KEY, or a name such as "
        "example.org"
    )


def _resolver(text: str) -> URL:
    wrong = ConfigError(
        f"naming.resolvers: {text!r} is no resolver: expected an address such as "
        "https://dns.example/dns-query"
    )
    try:
        url = URL(text)
    except ValueError:
        raise wrong from None
    if url.scheme != "https" or not url.host:
        raise wrong
    return url
