"""Who asks and what they may: found out once a request, by the guard, and read by handlers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from datd.errors import UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.register import unknown
from datd.http.operation import Scope
from datd.keys import Key

# Each scope holds those before it. A pinning account stands beside them: its pins, nothing else.
_RANKS: dict[Scope, int] = {"public": 0, "read": 1, "control": 2, "admin": 3}


@dataclass(frozen=True, slots=True)
class Access:
    """What one request may do.

    Attributes:
        name: Who asks, for the audit log: "token:ID", "api.token", "unix:UID", "account:NAME", or
            "nobody".
        scope: The most it may do.
        archives: Keys in hex that it is restricted to; None for all.
        account: Name of the pinning account that logged in.
        secret: Hash of what it came with, hex; a session ends by it.
        expires_at: When that ends to be valid, in seconds since 1970; None: it does not.
        holds: Whether it is valid still: for answers that take hours, such as streams of events.
    """

    name: str
    scope: Scope
    archives: frozenset[str] | None = None
    account: str | None = None
    secret: str | None = None
    expires_at: float | None = None
    holds: Callable[[], bool] = field(default=lambda: True, compare=False)

    def allows(self, scope: Scope) -> bool:
        """Whether it may do what needs a scope."""
        if scope == "account":
            return self.account is not None
        return _RANKS[scope] <= _RANKS[self.scope]

    def may_see(self, key: Key) -> bool:
        """Whether an archive may be shown to it at all."""
        return self.archives is None or key.hex in self.archives

    @property
    def is_admin(self) -> bool:
        """Whether it may do anything, with any archive."""
        return self.scope == "admin" and self.archives is None


NOBODY = Access("nobody", "public")


def find_visible(
    find: Callable[[str], HostedArchive], reference: str, access: Access
) -> HostedArchive:
    """The archive that a query or body names, if it may be shown.

    Raises:
        UnknownArchive: It is not hosted, or is not for who asks: in the same words, which would
            tell the digits of hidden keys one by one otherwise; nor how many begin so.
    """
    try:
        archive = find(reference)
    except UnknownArchive:
        if access.archives is None:
            raise
    else:
        if access.may_see(archive.key):
            return archive
    raise unknown(reference)


_ACCESS = web.RequestKey("access", Access)
_ARCHIVE = web.RequestKey("archive", Key)


def access_of(request: web.Request) -> Access:
    """Who asks; nobody until the guard has looked."""
    found: Access = request.get(_ACCESS, NOBODY)
    return found


def set_access(request: web.Request, access: Access) -> None:
    """Note who asks."""
    request[_ACCESS] = access


def note_archive(request: web.Request, key: Key) -> None:
    """Tell the audit log which archive a request is about, where its path does not."""
    request[_ARCHIVE] = key


def noted_archive(request: web.Request) -> Key | None:
    """Which archive a request is about, if its handler said so."""
    found: Key | None = request.get(_ARCHIVE)
    return found
