"""Tokens, accounts and the audit log: who may do what, and who did it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TokenScope = Literal["read", "control", "admin"]

# A hundred years: whoever wants longer wants no end.
_MAX_SECONDS = 100 * 366 * 86_400
_MAX_NUMBER = 2**53 - 1
# Longer ones only cost the server time; shorter ones are guessed.
Password = Annotated[str, Field(min_length=8, max_length=256)]
AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Email = Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Quota = Annotated[int, Field(ge=1, le=_MAX_NUMBER)]
PinQuota = Annotated[int, Field(ge=1, le=1_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewToken(_Body):
    """Body of `POST /tokens`.

    Attributes:
        name: What it is for.
        scope: "read" looks; "control" changes archives, too; "admin" may do everything.
        archives: Links, keys or names of the archives it is for; null for all, later ones too.
        expires_in: Seconds until it ends; null: it does not.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scope: TokenScope = "read"
    archives: Annotated[list[str], Field(min_length=1, max_length=1_000)] | None = None
    expires_in: Annotated[int, Field(ge=1, le=_MAX_SECONDS)] | None = None


class Token(BaseModel):
    """A token, without its secret.

    Attributes:
        id: What it is called here, and in the audit log.
        name: What it is for.
        archives: Keys of the archives it is for; null for all.
        last_used_at: Right to ten minutes; null: never.
    """

    id: str
    name: str
    scope: TokenScope
    archives: list[str] | None
    made_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


class MadeToken(Token):
    """Answer of `POST /tokens`: the only one that holds the secret."""

    token: str


class TokenList(BaseModel):
    """Answer of `GET /tokens`: the oldest first."""

    tokens: list[Token]


class WhoAmI(BaseModel):
    """Answer of `GET /whoami`: what the one who asks may do.

    Attributes:
        name: "token:ID", "api.token" or "unix:UID".
        archives: Keys of the archives it is restricted to; null for all.
    """

    name: str
    scope: TokenScope
    archives: list[str] | None
    expires_at: datetime | None


class NewAccount(_Body):
    """Body of `POST /accounts`: quotas that are not given are those of the settings."""

    name: AccountName
    password: Password
    email: Email | None = None
    max_bytes: Quota | None = None
    max_pins: PinQuota | None = None


class AccountChanges(_Body):
    """Body of `PATCH /accounts/{name}`. A new password logs the account out everywhere."""

    password: Password | None = None
    email: Email | None = None
    max_bytes: Quota | None = None
    max_pins: PinQuota | None = None


class Account(BaseModel):
    """Somebody who may pin archives.

    Attributes:
        bytes: What its archives hold.
        pins: How many archives it pins.
        full: Whether it may pin nothing more, and its archives fetch nothing more.
    """

    name: str
    email: str | None
    bytes: int
    max_bytes: int
    pins: int
    max_pins: int
    full: bool
    made_at: datetime | None
    changed_at: datetime | None


class AccountList(BaseModel):
    """Answer of `GET /accounts`: by name."""

    accounts: list[Account]


class AuditEntry(BaseModel):
    """One change, or one use of a secret.

    Attributes:
        id: Counts up.
        who: "token:ID", "api.token", "unix:UID", "account:NAME" or "nobody".
        source: The address it came from, or "unix".
        action: Name of the operation, such as "remove_archive".
        archive: Discovery key of the archive, not its link.
        status: HTTP status of the answer; null: the client did not wait for it.
    """

    id: int
    at: datetime | None
    who: str
    source: str
    action: str
    archive: str | None
    status: int | None


class AuditPage(BaseModel):
    """Answer of `GET /audit`: in the order in which it happened.

    Attributes:
        entries: Those after `since`; without it the newest ones.
        next: What to give as `since` to hear of later ones.
    """

    entries: list[AuditEntry]
    next: int
