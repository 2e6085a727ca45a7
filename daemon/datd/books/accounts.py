"""The book of pinning accounts: who may log in, with which quotas, and who is logged in."""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from datd.books.passwords import Passwords
from datd.books.secrets import LOGIN_PREFIX, SECRET_SIZE, digest, secret_text
from datd.catalogue import Catalogue

# A daemon of one host; more people than this need another kind of service.
MAX_ACCOUNTS = 10_000
# Clients keep what a login gave them and never renew it; nor do most of them log out.
LOGIN_SECONDS = 30 * 86_400.0
# Computers and programs of one person; with one more the oldest is logged out.
MAX_LOGINS = 20


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may pin. Times are seconds since 1970.

    Attributes:
        name: What they log in with; lower case.
        email: Where to reach them, for the operator.
        max_bytes: What all their pins together may hold.
        max_pins: How many archives they may pin.
        made_at: When it was made.
        changed_at: When anything of it was changed.
        password: What is kept of the password.
    """

    name: str
    email: str | None
    max_bytes: int
    max_pins: int
    made_at: float
    changed_at: float
    password: str


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who is logged in; `hash` is what is kept of the secret."""

    hash: str
    account: str
    made_at: float
    expires_at: float


class Accounts:
    """All accounts and logins, in memory and in the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float],
        passwords: Passwords | None = None,
    ) -> None:
        """An empty book, until it is opened.

        Args:
            catalogue: Where it is kept; open.
            clock: Seconds since 1970.
            passwords: Hashes them; by default as dear as it should be.
        """
        self._catalogue = catalogue
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._accounts: dict[str, Account] = {}
        self._logins: dict[str, Login] = {}
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Read the book."""
        accounts, logins = await self._catalogue.together(_read)
        self._accounts = {account.name: account for account in accounts}
        self._logins = {login.hash: login for login in logins}

    def all(self) -> list[Account]:
        """Every account, by name."""
        return sorted(self._accounts.values(), key=lambda account: account.name)

    def get(self, name: str) -> Account | None:
        """The account with a name, however its letters are written."""
        return self._accounts.get(name.lower())

    async def add(
        self, name: str, password: str, *, max_bytes: int, max_pins: int, email: str | None = None
    ) -> Account | None:
        """Make an account; None if there is one of that name.

        Raises:
            Busy: Too many passwords wait to be hashed.
        """
        kept = await self._passwords.kept(password)
        now = self._clock()
        account = Account(name.lower(), email, max_bytes, max_pins, now, now, kept)
        if account.name in self._accounts:
            return None
        self._accounts[account.name] = account
        try:
            await self._save(account)
        except BaseException:
            del self._accounts[account.name]
            raise
        return account

    async def change(
        self, account: Account, *, password: str | None = None, **fields: Any
    ) -> Account | None:
        """Change fields of an account; None if it is gone. A new password logs everybody out.

        Raises:
            Busy: Too many passwords wait to be hashed.
        """
        if password is not None:
            fields["password"] = await self._passwords.kept(password)
        async with self._changing:
            # It may have been changed otherwise while the password was hashed, or be gone.
            current = self._accounts.get(account.name)
            if current is None or current.made_at != account.made_at:
                return None
            changed = replace(current, changed_at=self._clock(), **fields)
            await self._save(changed)
            self._accounts[account.name] = changed
        if password is not None:
            await self._log_out(
                [one for one in self._logins.values() if one.account == account.name]
            )
        return changed

    async def remove(self, account: Account) -> None:
        """Forget an account, its logins and its pins."""
        async with self._changing:
            await self._catalogue.together(
                lambda database: database.execute(
                    "DELETE FROM accounts WHERE name = ?", (account.name,)
                )
            )
            self._accounts.pop(account.name, None)
        self._logins = {h: one for h, one in self._logins.items() if one.account != account.name}

    # ---- logins

    async def log_in(self, name: str, password: str) -> tuple[Account, str] | None:
        """Check a password.

        Returns:
            The account and the secret of a new login, which is nowhere kept; None if there is no
            such account or the password is another one. Both take the same time.

        Raises:
            Busy: Too many passwords wait to be checked.
        """
        account = self.get(name)
        if not await self._passwords.fits(password, None if account is None else account.password):
            return None
        if account is None:
            return None
        secret = secret_text(LOGIN_PREFIX, secrets.token_bytes(SECRET_SIZE))
        now = self._clock()
        login = Login(digest(secret.encode()), account.name, now, now + LOGIN_SECONDS)
        async with self._changing:
            current = self._accounts.get(account.name)
            if current is None or current.password != account.password:
                return None  # it is gone, or has another password, since a moment
            await self._catalogue.together(
                lambda database: database.execute(
                    "INSERT INTO logins VALUES (?, ?, ?, ?)",
                    (login.hash, login.account, login.made_at, login.expires_at),
                )
            )
            self._logins[login.hash] = login
        await self._log_out(self._superfluous(account.name, now))
        return account, secret

    def logged_in(self, hash: str) -> Account | None:
        """Whose login has that hash, if its time has not passed."""
        login = self._logins.get(hash)
        if login is None or self._clock() >= login.expires_at:
            return None
        return self._accounts.get(login.account)

    async def log_out(self, hash: str) -> None:
        """End a login."""
        login = self._logins.get(hash)
        await self._log_out([] if login is None else [login])

    def _superfluous(self, name: str, now: float) -> list[Login]:
        mine = sorted(
            (one for one in self._logins.values() if one.account == name),
            key=lambda one: one.made_at,
        )
        newest = mine[-MAX_LOGINS:]
        return [one for one in mine if one not in newest or one.expires_at <= now]

    async def _log_out(self, logins: list[Login]) -> None:
        for login in logins:
            self._logins.pop(login.hash, None)
        hashes = [(login.hash,) for login in logins]
        if hashes:
            await self._catalogue.together(
                lambda database: database.executemany("DELETE FROM logins WHERE hash = ?", hashes)
            )

    async def _save(self, account: Account) -> None:
        await self._catalogue.together(lambda database: _upsert(database, account))


_COLUMNS = ("name", "email", "password", "max_bytes", "max_pins", "made_at", "changed_at")
# Not REPLACE, which would delete the row and with it, by its references, logins and pins.
_UPSERT = (
    f"INSERT INTO accounts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    f" ON CONFLICT (name) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _COLUMNS[1:])}"
)


def _upsert(database: sqlite3.Connection, account: Account) -> None:
    database.execute(_UPSERT, tuple(getattr(account, column) for column in _COLUMNS))


def _read(database: sqlite3.Connection) -> tuple[list[Account], list[Login]]:
    accounts = [
        Account(**{column: row[column] for column in _COLUMNS})
        for row in database.execute("SELECT * FROM accounts")
    ]
    logins = [
        Login(row["hash"], row["account"], row["made_at"], row["expires_at"])
        for row in database.execute("SELECT * FROM logins")
    ]
    return accounts, logins
