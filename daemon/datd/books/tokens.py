"""The book of API tokens: who may do what, until when, with which archives. Secrets are hashes."""

import json
import secrets
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from datd.books.secrets import SECRET_SIZE, TOKEN_PREFIX, digest, secret_text
from datd.catalogue import Catalogue
from datd.errors import StorageError

# A list that people read through; a program that makes one a day gives them an end.
MAX_TOKENS = 1_000
# "Last used" is for finding those that nobody needs: a write for each request would be dear.
USED_SECONDS = 600.0
_ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret. Times are seconds since 1970.

    Attributes:
        id: What it is called in lists and in the audit log; no secret.
        name: What it is for, for people.
        scope: "read", "control" or "admin".
        archives: Keys in hex that it is restricted to; None for all.
        expires_at: When it ends to be valid; None: it does not.
        last_used_at: Right to ten minutes; None: never.
        hash: What is kept of the secret, hex.
    """

    id: str
    name: str
    scope: str
    archives: tuple[str, ...] | None
    made_at: float
    expires_at: float | None
    last_used_at: float | None
    hash: str


class Tokens:
    """All tokens but the one in `api.token`, in memory and in the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """An empty book, until it is opened.

        Args:
            catalogue: Where it is kept; open.
            clock: Seconds since 1970.
            spawn: Runs what nobody waits for.
        """
        self._catalogue = catalogue
        self._clock = clock
        self._spawn = spawn
        self._by_hash: dict[str, Token] = {}

    async def open(self) -> None:
        """Read the book."""
        found = await self._catalogue.together(_read)
        self._by_hash = {token.hash: token for token in found}

    def all(self) -> list[Token]:
        """Every token, expired ones too, the oldest first."""
        return sorted(self._by_hash.values(), key=lambda token: (token.made_at, token.id))

    def get(self, id: str) -> Token | None:
        """The token with an id."""
        return next((token for token in self._by_hash.values() if token.id == id), None)

    def valid(self, hash: str) -> Token | None:
        """The token with that hash, if there is one and its time has not passed; notes the use."""
        token, now = self._by_hash.get(hash), self._clock()
        if token is None or not self.holds(hash):
            return None
        # A clock that was set back must not stop the noting.
        if token.last_used_at is None or abs(now - token.last_used_at) >= USED_SECONDS:
            self._by_hash[hash] = token = replace(token, last_used_at=now)
            self._spawn(self._save_use(token))
        return token

    def holds(self, hash: str) -> bool:
        """Whether a token is neither revoked nor past its time."""
        token = self._by_hash.get(hash)
        if token is None:
            return False
        return token.expires_at is None or self._clock() < token.expires_at

    async def make(
        self,
        name: str,
        scope: str,
        *,
        archives: Sequence[str] | None = None,
        expires_at: float | None = None,
    ) -> tuple[Token, str]:
        """Make one.

        Returns:
            The token, and its secret, which is nowhere kept.
        """
        secret = secret_text(TOKEN_PREFIX, secrets.token_bytes(SECRET_SIZE))
        token = Token(
            id=secrets.token_hex(_ID_BYTES),
            name=name,
            scope=scope,
            archives=None if archives is None else tuple(archives),
            made_at=self._clock(),
            expires_at=expires_at,
            last_used_at=None,
            hash=digest(secret.encode()),
        )
        await self._catalogue.together(lambda database: _insert(database, token))
        self._by_hash[token.hash] = token
        return token, secret

    async def remove(self, token: Token) -> None:
        """Make a token worth nothing, from this moment on."""
        # Before the disk: if that fails the token is back after a restart, and somebody was told.
        self._by_hash.pop(token.hash, None)
        await self._catalogue.together(
            lambda database: database.execute("DELETE FROM tokens WHERE id = ?", (token.id,))
        )

    async def _save_use(self, token: Token) -> None:
        values = (token.last_used_at, token.id)
        statement = "UPDATE tokens SET last_used_at = ? WHERE id = ?"
        # Nobody waits for it, and a full disk must not end the daemon.
        with suppress(StorageError):
            await self._catalogue.together(lambda database: database.execute(statement, values))


def _insert(database: sqlite3.Connection, token: Token) -> None:
    database.execute(
        "INSERT INTO tokens (id, hash, name, scope, archives, made_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            token.id,
            token.hash,
            token.name,
            token.scope,
            None if token.archives is None else json.dumps(token.archives),
            token.made_at,
            token.expires_at,
        ),
    )


def _read(database: sqlite3.Connection) -> list[Token]:
    return [
        Token(
            id=row["id"],
            name=row["name"],
            scope=row["scope"],
            archives=None if row["archives"] is None else tuple(json.loads(row["archives"])),
            made_at=row["made_at"],
            expires_at=row["expires_at"],
            last_used_at=row["last_used_at"],
            hash=row["hash"],
        )
        for row in database.execute("SELECT * FROM tokens")
    ]
