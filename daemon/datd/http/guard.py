"""Who may speak to the API: Host, Origin and token, looked at before any handler runs.

A Unix socket is guarded by its file mode; there neither Host nor token is asked for.
"""

import hmac
import ipaddress
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from datd.http.inputs import shown
from datd.http.problems import Handler, Problem
from datd.http.well_known import PATH as WELL_KNOWN

# T-42: people mistype a few times, programs that guess try thousands.
MAX_FAILURES = 20
FAILURE_SECONDS = 60.0
# Rule 4: a map keyed by strangers' addresses has an end; the longest silent one goes first.
MAX_ADDRESSES = 1_024
# L-22, over all headers together; the parser's own limit is for one of them.
MAX_HEADERS = 16 * 1024

OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_NAMES = frozenset({"token", "access_token", "api_token", "apikey", "api_key"})
_PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})


class FailedAttempts:
    """Counts wrong tokens by address over the last minute. Pure: time is given."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, address: str, now: float) -> float:
        """Count one more failure.

        Returns:
            Seconds the address should wait before the next attempt; 0 while it is below the limit.
        """
        name = _network(address)
        times = self._times.setdefault(name, deque(maxlen=MAX_FAILURES + 1))
        self._times.move_to_end(name)
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)
        while times and times[0] <= now - FAILURE_SECONDS:
            times.popleft()
        times.append(now)
        return times[0] + FAILURE_SECONDS - now if len(times) > MAX_FAILURES else 0.0


def _network(address: str) -> str:
    """IPv6 hosts own a /64, so its addresses are one guesser."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else parsed.exploded[:19]


class Guard:
    """Checks every request; each check ends the request with a `Problem` or lets it pass."""

    def __init__(
        self,
        token: str,
        hosts: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        *,
        is_domain: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Guard with a token.

        Args:
            token: What `Authorization: Bearer` must carry.
            hosts: Names that are ours beside localhost, without port; from the setting `api.hosts`.
            clock: Seconds, monotonic.
            is_domain: Whether an archive has a domain (without port, lower case): whoever asks it
                for `/.well-known/dat` gets the answer.
        """
        if not token:
            raise ValueError("the API needs a token that is not empty")
        self._token = token.encode()
        self._hosts = {_bare(host) for host in (*OWN_HOSTS, *hosts)}
        self._failed = FailedAttempts()
        self._clock = clock
        self._is_domain = is_domain

    def middleware(self) -> Middleware:
        """The guard as a middleware, to stand before all others but the one that answers errors."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.check(request)
            return await handler(request)

        return guard

    def check(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            Problem: It must not.
        """
        _check_headers(request)
        if not (from_unix_socket(request) or self._asks_for_domain(request)):
            self._check_host(request)
            _check_query(request)
            if request.path not in _PUBLIC_PATHS:
                self._check_token(request)
        if request.method not in SAFE_METHODS:
            _check_origin(request)

    def _asks_for_domain(self, request: web.Request) -> bool:
        # This one answer is for the whole web; no other spelling of the path gets through.
        if request.rel_url.raw_path != WELL_KNOWN or request.method not in SAFE_METHODS:
            return False
        given = request.headers.getall("Host", [])
        return len(given) == 1 and self._is_domain(_bare(given[0]))

    def _check_host(self, request: web.Request) -> None:
        # T-39: a page whose name was made to point at us still says its own name here.
        given = request.headers.getall("Host", [])
        if len(given) == 1:
            host = _bare(given[0])
            # An address in digits cannot be rebound, if it is the one that was really called.
            if host in self._hosts or host == _called_address(request):
                return
        named = " and ".join(shown(host) for host in given[:2]) or "none"
        raise Problem(
            "wrong_host",
            f"The Host header names {named}, not this daemon; names beside localhost are allowed "
            "with the setting api.hosts.",
        )

    def _check_token(self, request: web.Request) -> None:
        given = request.headers.getall("Authorization", [])
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        bearer = scheme.lower() == "bearer"
        sent = token.strip().encode("utf-8", "surrogateescape")
        if hmac.compare_digest(sent, self._token) and bearer:
            return
        wait = self._failed.add(request.remote or "", self._clock())
        if wait:
            raise Problem(
                "too_many",
                f"More than {MAX_FAILURES} attempts without a valid token in a minute; "
                "a valid one is answered at once.",
                headers={"Retry-After": str(int(wait) + 1)},
            )
        what = "The token is wrong" if given else "No token was sent"
        raise Problem(
            "unauthorized",
            f"{what}: send `Authorization: Bearer TOKEN`, with the text of the file api.token in "
            "the daemon's data folder. The Unix socket needs none.",
            headers={"WWW-Authenticate": 'Bearer realm="datd"'},
        )


def from_unix_socket(request: web.Request) -> bool:
    """Whether the request came over the Unix socket."""
    transport = request.transport
    sock = transport.get_extra_info("socket") if transport is not None else None
    return sock is not None and sock.family == socket.AF_UNIX


def _check_headers(request: web.Request) -> None:
    size = sum(len(name) + len(value) for name, value in request.raw_headers)
    if size > MAX_HEADERS:
        raise Problem("headers", f"The headers have {size} bytes; {MAX_HEADERS} are read.")


def _check_query(request: web.Request) -> None:
    # T-42: addresses end up in histories, logs and Referer headers.
    if any(name.lower() in _TOKEN_NAMES for name in request.query):
        raise Problem(
            "bad_request",
            "A token does not belong into the address, where others may see it: send it as "
            "`Authorization: Bearer TOKEN`, and replace this one.",
        )


def _check_origin(request: web.Request) -> None:
    # T-40: browsers send Origin with every write across sites, `null` from files and sandboxes.
    origins = request.headers.getall("Origin", [])
    site = request.headers.get("Sec-Fetch-Site", "none")
    own = request.headers.get("Host", "").lower()
    foreign = any(_netloc(origin) != own or not own for origin in origins)
    if foreign or site not in {"none", "same-origin"}:
        named = shown(origins[0]) if origins else "another site"
        raise Problem("forbidden", f"Pages of {named} may not change anything here.")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _bare(host: str) -> str:
    """A host without port and brackets, in lower case, without the dot of the root."""
    text = host.strip().lower()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text.rstrip(".")


def _called_address(request: web.Request) -> str:
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""
