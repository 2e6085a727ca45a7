"""Who may speak to the API: Host, Origin, token and scope, looked at before any handler runs.

A Unix socket is guarded by its file mode; there neither Host nor token is asked for.
"""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from datd.errors import UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.register import unknown
from datd.http.access import NOBODY, Access, set_access
from datd.http.attempts import MAX_FAILURES, FailedAttempts
from datd.http.credentials import Credentials, SocketUsers, from_unix_socket, sent_secret
from datd.http.desk import Desk
from datd.http.inputs import shown
from datd.http.operation import Operation, operation_of
from datd.http.origins import Origins
from datd.http.problems import Handler, Problem
from datd.http.senders import Senders
from datd.http.version_names import split_link
from datd.http.well_known import PATH as WELL_KNOWN

# L-22, over all headers together; the parser's own limit is for one of them.
MAX_HEADERS = 16 * 1024

OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_NAMES = frozenset({"token", "access_token", "api_token", "apikey", "api_key"})
_REALM = 'Bearer realm="datd"'
# What a token for some archives may not, although an archive stands in the path: the new one would
# be none of those.
_MAKES_ARCHIVES = frozenset({"fork_archive"})


class Guard:
    """Checks every request; each check ends the request with a `Problem` or lets it pass."""

    def __init__(
        self,
        token: str,
        hosts: Sequence[str],
        desk: Desk,
        *,
        find: Callable[[str], HostedArchive],
        is_domain: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Guard with a token.

        Args:
            token: The one that may do everything.
            hosts: Names that are ours beside localhost, without port; from the setting `api.hosts`.
            desk: Further tokens, accounts and settings.
            find: The archive that a reference means, or `UnknownArchive`.
            is_domain: Whether an archive has a domain (without port, lower case): whoever asks it
                for `/.well-known/dat` gets the answer.
        """
        self._credentials = Credentials(token, desk.tokens, desk.accounts)
        self._users = SocketUsers(desk.socket_scope, desk.own_user, desk.peer)
        self._origins = Origins(desk.origins)
        self._senders = Senders(desk.proxies)
        self._hosts = {_bare(host) for host in (*OWN_HOSTS, *hosts)}
        self._failed = FailedAttempts()
        self._clock = desk.clock
        self._find = find
        self._is_domain = is_domain

    def middleware(self) -> Middleware:
        """The guard as a middleware, to stand before all others but the one that answers errors."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            answer = self.check(request)
            return answer if answer is not None else await handler(request)

        return guard

    def check(self, request: web.Request) -> web.Response | None:
        """Let a request pass, and note who asks.

        Returns:
            The answer, if it is a browser that only asks whether it may send something.

        Raises:
            Problem: It must not pass.
            UnknownArchive: It must not see that archive.
        """
        _check_headers(request)
        operation = operation_of(request)
        if from_unix_socket(request):
            access = self._users.access(request)
            if operation is not None and operation.scope == "account":
                access = self._known(request) or access
        elif self._asks_for_domain(request):
            access = NOBODY
        else:
            self._check_host(request)
            _check_query(request)
            answer = self._origins.preflight(request)
            if answer is not None:
                return answer
            access = self._access(request, operation)
        set_access(request, access)
        if request.method not in SAFE_METHODS and self._origins.allowed(request) is None:
            _check_origin(request)
        if operation is not None:
            _check_scope(operation, access)
            self._check_archive(request, operation, access)
        return None

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

    def _known(self, request: web.Request) -> Access | None:
        secret = sent_secret(request)
        return None if secret is None else self._credentials.access(secret)

    def _access(self, request: web.Request, operation: Operation | None) -> Access:
        access = self._known(request)
        if access is not None:
            return access
        if operation is not None and operation.scope == "public":
            return NOBODY  # also with a token that is none any more: who logs in again may send it
        wait = self._failed.add(self._senders.address(request), self._clock())
        if wait:
            raise Problem(
                "too_many",
                f"More than {MAX_FAILURES} attempts without a valid token in a minute; "
                "a valid one is answered at once.",
                headers={"Retry-After": str(int(wait) + 1)},
            )
        what = "The token is wrong" if "Authorization" in request.headers else "No token was sent"
        if operation is not None and operation.scope == "account":
            raise Problem(
                "unauthorized",
                f"{what}, or its time has passed: log in with the name and password of your "
                "account on this service.",
                headers={"WWW-Authenticate": _REALM},
            )
        raise Problem(
            "unauthorized",
            f"{what}: send `Authorization: Bearer TOKEN`, with the text of the file api.token in "
            "the daemon's data folder. The Unix socket needs none.",
            headers={"WWW-Authenticate": _REALM},
        )

    def _check_archive(self, request: web.Request, operation: Operation, access: Access) -> None:
        """Hold a token that is for some archives to those.

        Others are for it as if they were not hosted, in the same words.
        """
        if access.archives is None or operation.scope == "public":
            return
        reference = request.match_info.get("key")
        if reference is None or operation.name in _MAKES_ARCHIVES:
            if operation.selective:
                return
            raise Problem(
                "forbidden",
                "This token is for some archives only, and this concerns all of them or makes "
                "others.",
            )
        version = None
        try:
            archive = self._find(reference)
        except UnknownArchive:
            bare, version = split_link(reference)
            archive = self._find_hidden(reference, bare)
        if not access.may_see(archive.key):
            raise unknown(reference)
        if version is None and reference != archive.record.name:
            version = split_link(reference)[1]
        # From here on there is no other archive that the reference could come to mean.
        request.match_info["key"] = archive.key.hex + (f"+{version}" if version else "")

    def _find_hidden(self, reference: str, bare: str) -> HostedArchive:
        try:
            return self._find(bare)
        except UnknownArchive:
            # Not how many begin so: some of them are not for this token.
            raise unknown(reference) from None


def _check_scope(operation: Operation, access: Access) -> None:
    if access.allows(operation.scope):
        return
    if operation.scope == "account":
        raise Problem(
            "forbidden",
            "Pins belong to accounts, and a token of the API is none: log in with an account, "
            "which `datctl accounts add NAME` makes.",
        )
    if access.account is not None:
        what = "This login is for pins only"
    elif access.name.startswith("unix:"):
        what = f"Other users of this host have the scope {access.scope} (setting api.socket_scope)"
    else:
        what = f"This token has the scope {access.scope}"
    raise Problem(
        "forbidden",
        f"{what}; this needs the scope {operation.scope}.",
        headers={
            "WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{operation.scope}"'
        },
    )


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
