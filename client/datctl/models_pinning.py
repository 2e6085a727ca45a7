"""The HTTP pinning service API (DEP-0003), with the names that its clients expect.

Fields that we do not know are passed over: it is not our API to be strict about.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from datctl.models_auth import AccountName, Email, Password

Url = Annotated[str, Field(min_length=1, max_length=2_048)]
PinName = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
_TEXT = Annotated[str, Field(max_length=1_024)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ServiceLink(BaseModel):
    """Where one API of a service lies, and which one that is."""

    rel: str
    title: str
    href: str


class ServiceDescription(BaseModel):
    """Answer of `GET /.well-known/psa`."""

    PSA: int
    title: str
    description: str
    links: list[ServiceLink]


class Login(_Body):
    """Body of `POST /v1/accounts/login`."""

    username: _TEXT
    password: _TEXT


class LoggedIn(BaseModel):
    """Answer: what to send as `Authorization: Bearer`."""

    sessionToken: str


class Registration(_Body):
    """Body of `POST /v1/accounts/register`."""

    username: AccountName
    password: Password
    email: Email | None = None


class Nothing(BaseModel):
    """An answer that says no more than its status."""


class Ignored(_Body):
    """A body in which nothing is expected."""


class PinningAccount(BaseModel):
    """Answer of `GET /v1/accounts/account`. Times are in seconds since 1970.

    Attributes:
        diskUsage: Bytes that the pinned archives hold.
        diskQuota: Bytes that they may hold: above, nothing more is pinned or fetched.
        pins: How many archives are pinned.
        maxPins: How many may be.
    """

    username: str
    email: str | None = None
    diskUsage: int
    diskQuota: int
    pins: int
    maxPins: int
    createdAt: int
    updatedAt: int


class NewPin(_Body):
    """Body of `POST /v1/dats/add`."""

    url: Url
    name: PinName | None = None
    domains: Annotated[list[Any], Field(max_length=100)] | None = None


class PinUrl(_Body):
    """Body of `POST /v1/dats/remove`."""

    url: Url


class PinChanges(_Body):
    """Body of `POST /v1/dats/item/{key}`."""

    name: PinName | None = None
    domains: Annotated[list[Any], Field(max_length=100)] | None = None


class PinnedDat(BaseModel):
    """One archive that an account has kept.

    Attributes:
        url: Its link.
        name: What the account calls it.
        title: From its manifest.
        additionalUrls: Where else it can be had.
        diskUsage: Bytes of it that are here.
        progress: 0 to 1.
        state: "searching", "syncing", "seeding", "paused" or "error".
        error: What keeps it from being complete, such as a quota that is used up.
    """

    url: str
    name: str | None = None
    title: str | None = None
    description: str | None = None
    additionalUrls: list[str] = []
    diskUsage: int
    progress: float
    state: str
    error: str | None = None


class PinList(BaseModel):
    """Answer of `GET /v1/dats`."""

    items: list[PinnedDat]
