"""Who may do what: tokens, pinning accounts, and the audit log. Methods of `Client`."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from datctl.connection import Connection, parse
from datctl.models_auth import (
    Account,
    AccountChanges,
    AccountList,
    AuditEntry,
    AuditPage,
    MadeToken,
    NewAccount,
    NewToken,
    Token,
    TokenList,
    TokenScope,
    WhoAmI,
)
from datctl.routes import PAGE, account_path, several, token_path


class Admission:
    """The methods of `Client` about who may use the daemon. All but `whoami` need `admin`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def whoami(self) -> WhoAmI:
        """What we may do there."""
        return await self._connection.get("/whoami", WhoAmI)

    async def tokens(self) -> list[Token]:
        """All tokens, without their secrets; the oldest first."""
        return (await self._connection.get("/tokens", TokenList)).tokens

    async def create_token(
        self,
        name: str,
        *,
        scope: TokenScope = "read",
        archives: Sequence[str] | None = None,
        expires_in: int | None = None,
    ) -> MadeToken:
        """Make a token. Its secret is in this answer and nowhere else.

        Args:
            name: What it is for.
            scope: "read", "control" or "admin".
            archives: Which ones it is for; None for all.
            expires_in: Seconds until it ends; None: it does not.
        """
        body = NewToken.model_construct(
            name=name,
            scope=scope,
            archives=None if archives is None else several(archives),
            expires_in=expires_in,
        )
        _, document = await self._connection.call("POST", "/tokens", body=body)
        return parse(MadeToken, document)

    async def revoke_token(self, id: str) -> None:
        """Make a token worth nothing.

        Raises:
            NotFound: There is none with that id.
        """
        await self._connection.call("DELETE", token_path(id))

    async def accounts(self) -> list[Account]:
        """Who may pin archives, by name."""
        return (await self._connection.get("/accounts", AccountList)).accounts

    async def account(self, name: str) -> Account:
        """One account."""
        return await self._connection.get(account_path(name), Account)

    async def add_account(
        self,
        name: str,
        password: str,
        *,
        email: str | None = None,
        max_bytes: int | None = None,
        max_pins: int | None = None,
    ) -> Account:
        """Let somebody pin archives; quotas that are not given are those of the settings.

        Raises:
            Conflict: There is an account of that name.
        """
        body = NewAccount.model_construct(
            name=name, password=password, email=email, max_bytes=max_bytes, max_pins=max_pins
        )
        _, document = await self._connection.call("POST", "/accounts", body=body)
        return parse(Account, document)

    async def change_account(self, name: str, **fields: Any) -> Account:
        """Change an account. `fields` are those of `AccountChanges`."""
        body = AccountChanges.model_construct(_fields_set=set(fields), **fields)
        _, document = await self._connection.call("PATCH", account_path(name), body=body)
        return parse(Account, document)

    async def remove_account(self, name: str) -> None:
        """Remove an account, and the archives that are there for it alone."""
        await self._connection.call("DELETE", account_path(name))

    async def audit(self, *, since: int | None = None, limit: int = 100) -> AuditPage:
        """Lines of the audit log after the one with the id `since`; without it the newest."""
        return await self._connection.get("/audit", AuditPage, {"since": since, "limit": limit})

    async def all_audit(self, *, since: int = 0) -> AsyncIterator[AuditEntry]:
        """All lines after the one with the id `since` that are still there."""
        while True:
            page = await self.audit(since=since, limit=PAGE)
            for entry in page.entries:
                yield entry
            if not page.entries:
                return
            since = page.next
