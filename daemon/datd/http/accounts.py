"""Routes of the operator for pinning accounts: made, listed, changed, removed."""

from aiohttp import web

from datctl import models_auth as models
from datd.books.accounts import MAX_ACCOUNTS, Account
from datd.http import shapes
from datd.http.desk import Desk
from datd.http.inputs import read_body, read_query
from datd.http.operation import PREFIX, Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.stats import NoQuery

_DISK = ("damaged", "disk_full", "read_only")


class AccountRoutes:
    """Handlers of `/accounts`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._accounts = desk.accounts
        self._pinning = desk.pinning

    def operations(self) -> list[Operation]:
        """What can be asked of accounts."""
        every, one = f"{PREFIX}/accounts", f"{PREFIX}/accounts/{{name}}"
        names = {"name": "The name of an account."}
        return [
            Operation(
                "GET",
                every,
                self.list,
                name="list_accounts",
                summary="Who may pin archives, and what they use of their quotas",
                scope="admin",
                tag="Access",
                answers={200: models.AccountList},
            ),
            Operation(
                "POST",
                every,
                self.add,
                name="create_account",
                summary="Let somebody pin archives",
                scope="admin",
                tag="Access",
                bodies=(models.NewAccount,),
                examples={"With the usual quotas": {"name": "ada", "password": "analytical"}},
                answers={201: models.Account},
                sends={"Location": "The account."},
                errors=("exists", "limit", "busy", *_DISK),
            ),
            Operation(
                "GET",
                one,
                self.show,
                name="get_account",
                summary="One account",
                scope="admin",
                tag="Access",
                names=names,
                answers={200: models.Account},
                errors=("no_such_account",),
            ),
            Operation(
                "PATCH",
                one,
                self.change,
                name="change_account",
                summary="Change quotas, address or password of an account",
                scope="admin",
                tag="Access",
                names=names,
                bodies=(models.AccountChanges,),
                answers={200: models.Account},
                errors=("no_such_account", "busy", *_DISK),
                description="What is not named stays as it is. A new password logs it out.",
            ),
            Operation(
                "DELETE",
                one,
                self.remove,
                name="remove_account",
                summary="Remove an account, and the archives that are here for it alone",
                scope="admin",
                tag="Access",
                names=names,
                answers={204: None},
                errors=("no_such_account", *_DISK),
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /accounts`."""
        read_query(request, NoQuery)
        return shapes.json_response(
            models.AccountList(accounts=[self._shape(one) for one in self._accounts.all()])
        )

    async def add(self, request: web.Request) -> web.Response:
        """`POST /accounts`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.NewAccount)
        account = await make_account(
            self._desk,
            asked.name,
            asked.password,
            email=asked.email,
            max_bytes=asked.max_bytes,
            max_pins=asked.max_pins,
        )
        response = shapes.json_response(self._shape(account), 201)
        response.headers["Location"] = f"{PREFIX}/accounts/{account.name}"
        return response

    async def show(self, request: web.Request) -> web.Response:
        """`GET /accounts/{name}`."""
        read_query(request, NoQuery)
        return shapes.json_response(self._shape(self._find(request)))

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /accounts/{name}`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.AccountChanges)
        account = self._find(request)
        fields = {name: getattr(asked, name) for name in asked.model_fields_set}
        for name in ("password", "max_bytes", "max_pins"):
            if name in fields and fields[name] is None:
                raise Problem(
                    "bad_request",
                    f"In the body: {name}: expected a value, not null.",
                    fields=[(f"/{name}", "expected a value, not null")],
                )
        changed = await self._accounts.change(account, **fields) if fields else account
        if changed is None:
            raise _no_such_account()
        return shapes.json_response(self._shape(changed))

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /accounts/{name}`."""
        read_query(request, NoQuery)
        await self._pinning.drop_account(self._find(request))
        return web.Response(status=204, headers=SAFE_HEADERS)

    def _find(self, request: web.Request) -> Account:
        account = self._accounts.get(request.match_info["name"])
        if account is None:
            raise _no_such_account()
        return account

    def _shape(self, account: Account) -> models.Account:
        used = self._pinning.usage(account)
        return models.Account(
            name=account.name,
            email=account.email and shapes.encodable(account.email),
            bytes=used.bytes,
            max_bytes=account.max_bytes,
            pins=used.pins,
            max_pins=account.max_pins,
            full=used.bytes >= account.max_bytes,
            made_at=shapes.moment(account.made_at),
            changed_at=shapes.moment(account.changed_at),
        )


def _no_such_account() -> Problem:
    return Problem("no_such_account", "There is no account of this name.")


async def make_account(
    desk: Desk,
    name: str,
    password: str,
    *,
    email: str | None = None,
    max_bytes: int | None = None,
    max_pins: int | None = None,
) -> Account:
    """Make an account, with the usual quotas where none are given.

    Raises:
        Problem: The name is taken, or there are too many.
        Busy: Too many passwords wait to be hashed.
    """
    taken = Problem("exists", "There is an account of this name: choose another one.")
    if desk.accounts.get(name) is not None:
        raise taken
    if len(desk.accounts.all()) >= MAX_ACCOUNTS:
        raise Problem("limit", f"There are {MAX_ACCOUNTS} accounts, and no more are possible.")
    account = await desk.accounts.add(
        name,
        password,
        email=email,
        max_bytes=desk.max_bytes if max_bytes is None else max_bytes,
        max_pins=desk.max_pins if max_pins is None else max_pins,
    )
    if account is None:  # somebody was faster
        raise taken
    return account
