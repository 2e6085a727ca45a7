"""The HTTP pinning service API (DEP-0003): people log in and have archives kept.

Its clients are `dat-pinning-service-client`, and `dat-store` with its `dat-storage-client`. They
ask the list with a slash behind it, read each answer as JSON, an empty one too, and send old logins
along with new ones. dat-store writes `hyper://` before keys of our generation as well.
"""

from aiohttp import web

from datctl import models_pinning as models
from datd.books.accounts import Account
from datd.books.pins import Pin
from datd.errors import KeyFormatError
from datd.hosting.archive import HostedArchive
from datd.hosting.pinning import USED_UP
from datd.http import shapes
from datd.http.access import access_of, note_archive, set_access
from datd.http.accounts import make_account
from datd.http.attempts import MAX_FAILURES, FailedAttempts
from datd.http.credentials import account_access
from datd.http.desk import Desk
from datd.http.inputs import read_body, read_query
from datd.http.operation import Operation
from datd.http.problems import Problem
from datd.http.senders import Senders
from datd.http.stats import NoQuery
from datd.keys import Key, Link
from datd.naming.resolver import Names

DESCRIPTION = "/.well-known/psa"
ACCOUNTS = "/v1/accounts"
DATS = "/v1/dats"
# What clients look for; only names, nothing is fetched there.
_SPEC = "https://archive.org/services/purl/purl/datprotocol/spec/pinning-service"
_DISK = ("damaged", "disk_full", "read_only")


class PinningRoutes:
    """Handlers of `/.well-known/psa` and `/v1`."""

    def __init__(self, desk: Desk, names: Names | None = None) -> None:
        self._desk = desk
        self._accounts = desk.accounts
        self._pinning = desk.pinning
        self._names = names
        self._failed = FailedAttempts()
        self._failed_names = FailedAttempts()
        self._senders = Senders(desk.proxies)

    def operations(self) -> list[Operation]:
        """What can be asked of the pinning service."""
        return [*self._account_operations(), *self._pin_operations()]

    def _account_operations(self) -> list[Operation]:
        operations = [
            Operation(
                "GET",
                DESCRIPTION,
                self.describe,
                name="describe_pinning_service",
                summary="Where the pinning service API lies",
                scope="public",
                tag="Pinning",
                answers={200: models.ServiceDescription},
            ),
            Operation(
                "POST",
                f"{ACCOUNTS}/login",
                self.log_in,
                name="log_in",
                summary="Log in with an account",
                scope="public",
                tag="Pinning",
                bodies=(models.Login,),
                answers={200: models.LoggedIn},
                errors=("unauthorized", "too_many", "busy", *_DISK),
            ),
            Operation(
                "POST",
                f"{ACCOUNTS}/logout",
                self.log_out,
                name="log_out",
                summary="End a login",
                scope="account",
                tag="Pinning",
                bodies=(models.Ignored,),
                answers={200: models.Nothing},
                errors=_DISK,
            ),
            Operation(
                "GET",
                f"{ACCOUNTS}/account",
                self.account,
                name="get_own_account",
                summary="The account that is logged in, with its quotas",
                scope="account",
                tag="Pinning",
                answers={200: models.PinningAccount},
            ),
        ]
        if self._desk.registration:
            operations.append(
                Operation(
                    "POST",
                    f"{ACCOUNTS}/register",
                    self.register,
                    name="register_account",
                    summary="Make an account for oneself",
                    scope="public",
                    tag="Pinning",
                    bodies=(models.Registration,),
                    answers={201: models.Nothing},
                    errors=("exists", "limit", "too_many", "busy", *_DISK),
                )
            )
        return operations

    def _pin_operations(self) -> list[Operation]:
        item = f"{DATS}/item/{{key}}"
        changing = ("bad_link", "unknown_archive", "forbidden", *_DISK)
        return [
            *(
                Operation(
                    "GET",
                    path,
                    self.list,
                    name=name,
                    summary="What the account pins",
                    scope="account",
                    tag="Pinning",
                    answers={200: models.PinList},
                )
                for path, name in ((DATS, "list_pins"), (f"{DATS}/", "list_pins_of_folder"))
            ),
            Operation(
                "POST",
                f"{DATS}/add",
                self.add,
                name="add_pin",
                summary="Have an archive kept",
                scope="account",
                tag="Pinning",
                bodies=(models.NewPin,),
                answers={200: models.PinnedDat},
                errors=(
                    "bad_link",
                    "forbidden",
                    "quota",
                    "unknown_name",
                    "name_unreachable",
                    *_DISK,
                ),
            ),
            Operation(
                "POST",
                f"{DATS}/remove",
                self.remove,
                name="remove_pin",
                summary="Let an archive go",
                scope="account",
                tag="Pinning",
                bodies=(models.PinUrl,),
                answers={200: models.Nothing},
                errors=(*changing, "unknown_name", "name_unreachable"),
            ),
            Operation(
                "GET",
                item,
                self.show,
                name="get_pin",
                summary="One archive that the account pins",
                scope="account",
                tag="Pinning",
                answers={200: models.PinnedDat},
                errors=("bad_link", "unknown_archive"),
            ),
            Operation(
                "POST",
                item,
                self.change,
                name="change_pin",
                summary="Call an archive otherwise",
                scope="account",
                tag="Pinning",
                bodies=(models.PinChanges,),
                answers={200: models.PinnedDat},
                errors=changing,
            ),
        ]

    # ---- accounts

    async def describe(self, request: web.Request) -> web.Response:
        """`GET /.well-known/psa`."""
        read_query(request, NoQuery)
        links = [
            models.ServiceLink(
                rel=f"{_SPEC}-account-api", title="User accounts API", href=ACCOUNTS
            ),
            models.ServiceLink(rel=f"{_SPEC}-dats-api", title="Dat pinning API", href=DATS),
        ]
        title = self._desk.title
        text = f"Keeps Dat archives online: {title}"
        return shapes.json_response(
            models.ServiceDescription(PSA=1, title=title, description=text, links=links)
        )

    async def log_in(self, request: web.Request) -> web.Response:
        """`POST /v1/accounts/login`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.Login)
        name = asked.username.lower()
        self._check_attempts(request, name)
        # Counted before the password is hashed, or many tries at once would pass.
        found = await self._accounts.log_in(name, asked.password)
        if found is None:
            raise Problem(
                "unauthorized",
                "There is no account with this name and password on this service.",
                headers={"WWW-Authenticate": 'Bearer realm="datd"'},
            )
        account, secret = found
        self._failed.take_back(self._senders.address(request))
        self._failed_names.forget(name)
        set_access(request, account_access(account.name))
        return shapes.json_response(models.LoggedIn(sessionToken=secret))

    async def register(self, request: web.Request) -> web.Response:
        """`POST /v1/accounts/register`, if the setting allows it."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.Registration)
        self._check_attempts(request, asked.username.lower())
        account = await make_account(self._desk, asked.username, asked.password, email=asked.email)
        set_access(request, account_access(account.name))
        return shapes.json_response(models.Nothing(), 201)

    async def log_out(self, request: web.Request) -> web.Response:
        """`POST /v1/accounts/logout`."""
        read_query(request, NoQuery)
        await read_body(request, models.Ignored)
        secret = access_of(request).secret
        if secret is not None:
            await self._accounts.log_out(secret)
        return shapes.json_response(models.Nothing())

    async def account(self, request: web.Request) -> web.Response:
        """`GET /v1/accounts/account`."""
        read_query(request, NoQuery)
        account = self._account(request)
        used = self._pinning.usage(account)
        return shapes.json_response(
            models.PinningAccount(
                username=account.name,
                email=account.email and shapes.encodable(account.email),
                diskUsage=used.bytes,
                diskQuota=account.max_bytes,
                pins=used.pins,
                maxPins=account.max_pins,
                createdAt=int(account.made_at),
                updatedAt=int(account.changed_at),
            )
        )

    # ---- pins

    async def list(self, request: web.Request) -> web.Response:
        """`GET /v1/dats`."""
        read_query(request, NoQuery)
        pinned = self._pinning.of(self._account(request))
        return shapes.json_response(
            models.PinList(items=[await _item(archive, pin) for archive, pin in pinned])
        )

    async def add(self, request: web.Request) -> web.Response:
        """`POST /v1/dats/add`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.NewPin)
        _check_domains(asked.domains)
        key = await self._key(request, asked.url)
        pinned = await self._pinning.pin(self._account(request), key, asked.name)
        return shapes.json_response(await _item(*pinned))

    async def remove(self, request: web.Request) -> web.Response:
        """`POST /v1/dats/remove`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.PinUrl)
        key = await self._key(request, asked.url)
        await self._pinning.unpin(self._account(request), key)
        return shapes.json_response(models.Nothing())

    async def show(self, request: web.Request) -> web.Response:
        """`GET /v1/dats/item/{key}`."""
        read_query(request, NoQuery)
        key = Key.parse(request.match_info["key"])
        return shapes.json_response(await _item(*self._pinning.find(self._account(request), key)))

    async def change(self, request: web.Request) -> web.Response:
        """`POST /v1/dats/item/{key}`."""
        read_query(request, NoQuery)
        key = Key.parse(request.match_info["key"])
        note_archive(request, key)
        account = self._account(request)
        pinned = self._pinning.find(account, key)
        asked = await read_body(request, models.PinChanges)
        _check_domains(asked.domains)
        if "name" in asked.model_fields_set:
            pinned = await self._pinning.rename(account, key, asked.name)
        return shapes.json_response(await _item(*pinned))

    def _check_attempts(self, request: web.Request, name: str) -> None:
        """Count an attempt: passwords can be guessed, so a right one waits with the wrong ones."""
        address, now = self._senders.address(request), self._desk.clock()
        wait = max(self._failed.wait(address, now), self._failed_names.wait(name, now))
        if wait:
            raise Problem(
                "too_many",
                f"More than {MAX_FAILURES} attempts in a minute, from this address or for this "
                "account: wait a little.",
                headers={"Retry-After": str(int(wait) + 1)},
            )
        self._failed.add(address, now)
        self._failed_names.add(name, now)

    def _account(self, request: web.Request) -> Account:
        name = access_of(request).account
        account = None if name is None else self._accounts.get(name)
        if account is None:
            raise Problem("unauthorized", "This account was removed.")
        return account

    async def _key(self, request: web.Request, url: str) -> Key:
        """The archive that a client means. A version in its link is passed over: all are kept.

        Raises:
            Problem: It is no link.
        """
        try:
            if self._names is not None:
                key = (await self._names.resolve(url)).link.key
            else:
                key = Link.parse(url).key
        except KeyFormatError as error:
            hint = "" if "/" not in url else "; folders are published with `datctl share`"
            raise Problem("bad_link", f"{error}{hint}.", fields=[("/url", str(error))]) from error
        note_archive(request, key)
        return key


def _check_domains(domains: object) -> None:
    if domains:
        raise Problem(
            "forbidden",
            "Domains are given by the operator of this service, not by accounts: leave `domains` "
            "away.",
            fields=[("/domains", "is not for accounts")],
        )


async def _item(archive: HostedArchive, pin: Pin) -> models.PinnedDat:
    view = await archive.view()
    return models.PinnedDat(
        url=f"dat://{view.key}",
        name=pin.name and shapes.encodable(pin.name),
        title=shapes.encodable(view.title) or None,
        description=shapes.encodable(view.description) or None,
        additionalUrls=[f"https://{view.domain}/"] if view.domain else [],
        diskUsage=view.bytes.have,
        progress=view.progress,
        state=view.state,
        error=_error(view.error),
    )


def _error(error: str | None) -> str | None:
    """What an account is told of it: no folders and faults of a host that is not its own."""
    if error is None or error == USED_UP:
        return error
    return "it cannot be fetched just now, which only the operator of this service can change"
