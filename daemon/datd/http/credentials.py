"""What requests come with, and what it allows: tokens, logins of accounts, users of this host."""

import socket
import struct
from collections.abc import Callable
from typing import cast

from aiohttp import web

from datd.books.accounts import Accounts
from datd.books.secrets import digest
from datd.books.tokens import Tokens
from datd.http.access import Access
from datd.http.operation import Scope

# struct ucred: process, user, group.
_PEER = struct.Struct("3i")
# What the kernel says of users that our namespace does not have.
_UNKNOWN_USER = 65_534


class Credentials:
    """Finds out whose a secret is: by its hash, so that the time it takes tells nothing."""

    def __init__(self, token: str, tokens: Tokens, accounts: Accounts) -> None:
        """Know all books of secrets.

        Args:
            token: The one that may do everything, of the file `api.token`.
            tokens: Further ones.
            accounts: Who may log in to pin.
        """
        if not token:
            raise ValueError("the API needs a token that is not empty")
        self._master = digest(token.encode())
        self._tokens = tokens
        self._accounts = accounts

    def access(self, secret: bytes) -> Access | None:
        """What a secret allows; None if it is none of ours, or none any more."""
        found = digest(secret)
        if found == self._master:
            return Access("api.token", "admin")
        token = self._tokens.valid(found)
        if token is not None:
            return Access(
                f"token:{token.id}",
                cast(Scope, token.scope),
                archives=None if token.archives is None else frozenset(token.archives),
                expires_at=token.expires_at,
                holds=lambda: self._tokens.holds(found),
            )
        account = self._accounts.logged_in(found)
        if account is not None:
            return account_access(account.name, found)
        return None


def account_access(name: str, secret: str | None = None) -> Access:
    """What somebody may who is logged in: his pins, and nothing of the daemon.

    Args:
        name: Of the account.
        secret: Hash of the login.
    """
    return Access(f"account:{name}", "public", account=name, secret=secret)


def sent_secret(request: web.Request) -> bytes | None:
    """The secret of `Authorization: Bearer`, if there is exactly one such header."""
    given = request.headers.getall("Authorization", [])
    scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not secret.strip():
        return None
    return secret.strip().encode("utf-8", "surrogateescape")


class SocketUsers:
    """What users of this host may who come over the Unix socket. Its file mode lets them in."""

    def __init__(self, scope: Scope, own: int, peer: Callable[[web.Request], int | None]) -> None:
        """Know one user from the others.

        Args:
            scope: What others than ourselves and root may, such as members of the socket's group.
            own: The user that the daemon runs as.
            peer: Which user a request comes from; None: the system does not say.
        """
        self._scope = scope
        self._own = own
        self._peer = peer

    def access(self, request: web.Request) -> Access:
        """What the one who sent a request may."""
        user = self._peer(request)
        scope: Scope = "admin" if user in (0, self._own) else self._scope
        return Access(f"unix:{'?' if user is None else user}", scope)


def from_unix_socket(request: web.Request) -> bool:
    """Whether the request came over the Unix socket."""
    sock = _socket(request)
    return sock is not None and sock.family == socket.AF_UNIX


def peer_user(request: web.Request) -> int | None:
    """The user at the other end of a Unix socket, as the kernel knows it (SO_PEERCRED)."""
    sock = _socket(request)
    option = getattr(socket, "SO_PEERCRED", None)
    if sock is None or option is None:
        return None
    try:
        _, user, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _PEER.size))
    except OSError:
        return None
    return None if user in (-1, _UNKNOWN_USER) else int(user)


def _socket(request: web.Request) -> socket.socket | None:
    transport = request.transport
    return transport.get_extra_info("socket") if transport is not None else None
