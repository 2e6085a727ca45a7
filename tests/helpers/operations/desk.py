"""Rows of who may do what: tokens, accounts, the audit log, and what people with accounts pin."""

import json
from collections.abc import Iterable

from datd.books.accounts import MAX_ACCOUNTS
from datd.books.tokens import MAX_TOKENS
from tests.helpers.api import Answer, RunningApi
from tests.helpers.operations.row import JSON, NOWHERE, V1, Row, send

ACCOUNTS = f"{V1}/accounts"
TOKENS = f"{V1}/tokens"
SETTINGS = f"{V1}/settings"
SLOWER = {"network": {"upload_limit": 500_000}, "log": {"level": "debug"}}
PINS = "/v1/dats"
ITEM = f"{PINS}/item/{NOWHERE}"
LOGIN = {"username": "ada", "password": "a long password"}
ACCOUNT = {"name": "ada", "password": "a long password"}


# ---- tokens


async def _revoked(api: RunningApi) -> Answer:
    made = await api.post(TOKENS, {"name": "narrow"})
    return await api.ask(f"{TOKENS}/{made.json['id']}", method="DELETE")


async def _filled(api: RunningApi, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Put rows into a book at once: to make so many by themselves takes minutes."""
    statement = f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?{', ?' * (table == 'tokens')})"
    await api.library.services.catalogue.together(
        lambda database: database.executemany(statement, rows)
    )
    await api.desk.tokens.open()
    await api.desk.accounts.open()


async def _token_too_many(api: RunningApi) -> Answer:
    some = range(MAX_TOKENS)
    await _filled(
        api, "tokens", ((f"{n}", f"{n}", "x", "read", None, 1.0, None, None) for n in some)
    )
    return await api.post(TOKENS, {"name": "one more"})


# ---- accounts


async def _account_too_many(api: RunningApi) -> Answer:
    some = range(MAX_ACCOUNTS)
    await _filled(api, "accounts", ((f"a{n}", None, "", 1, 1, 1.0, 1.0) for n in some))
    return await api.post(ACCOUNTS, ACCOUNT)


async def _account(api: RunningApi) -> str:
    made = await api.post(ACCOUNTS, ACCOUNT)
    assert made.status == 201, made
    return f"{ACCOUNTS}/ada"


async def _account_twice(api: RunningApi) -> Answer:
    await _account(api)
    return await api.post(ACCOUNTS, ACCOUNT)


async def _of_account(api: RunningApi, method: str, document: object = None) -> Answer:
    path = await _account(api)
    if document is not None:
        return await send(api, method, path, document)
    return await api.ask(path, method=method)


async def _of_no_account(api: RunningApi, method: str, document: object = None) -> Answer:
    if document is not None:
        return await send(api, method, f"{ACCOUNTS}/nobody", document)
    return await api.ask(f"{ACCOUNTS}/nobody", method=method)


# ---- pinning


async def _log_in(api: RunningApi, **fields: object) -> Answer:
    await _account(api)
    return await api.post("/v1/accounts/login", LOGIN | fields)


async def _as_ada(api: RunningApi, method: str, path: str, document: object = None) -> Answer:
    """A request with a login; its archive is pinned already where the path names one."""
    session = (await _log_in(api)).json["sessionToken"]
    if path.startswith(f"{PINS}/item/"):
        await _ask(api, session, "POST", f"{PINS}/add", {"url": NOWHERE})
    return await _ask(api, session, method, path, document)


async def _ask(
    api: RunningApi, session: str, method: str, path: str, document: object = None
) -> Answer:
    if document is None:
        return await api.ask(path, method=method, token=session)
    body = json.dumps(document).encode()
    return await api.ask(path, JSON, method=method, body=body, token=session)


async def _quota(api: RunningApi) -> Answer:
    await api.post(ACCOUNTS, ACCOUNT | {"max_pins": 1})
    session = (await api.post("/v1/accounts/login", LOGIN)).json["sessionToken"]
    await _ask(api, session, "POST", f"{PINS}/add", {"url": NOWHERE})
    return await _ask(api, session, "POST", f"{PINS}/add", {"url": "ab" * 32})


async def _unpinned(api: RunningApi) -> Answer:
    session = (await _log_in(api)).json["sessionToken"]
    await _ask(api, session, "POST", f"{PINS}/add", {"url": NOWHERE})
    return await _ask(api, session, "POST", f"{PINS}/remove", {"url": NOWHERE})


DESK_ROWS = [
    Row("list_settings", 200, lambda api: api.ask(SETTINGS)),
    Row("change_settings", 200, lambda api: send(api, "PATCH", SETTINGS, SLOWER)),
    Row("whoami", 200, lambda api: api.ask(f"{V1}/whoami")),
    Row("list_tokens", 200, lambda api: api.ask(TOKENS)),
    Row("create_token", 201, lambda api: api.post(TOKENS, {"name": "a", "archives": [NOWHERE]})),
    Row("create_token", "bad_link", lambda api: api.post(TOKENS, {"name": "a", "archives": ["?"]})),
    Row("create_token", "limit", _token_too_many),
    Row("revoke_token", 204, _revoked),
    Row("revoke_token", "no_such_token", lambda api: api.ask(f"{TOKENS}/none", method="DELETE")),
    Row("list_accounts", 200, lambda api: api.ask(ACCOUNTS)),
    Row("create_account", 201, lambda api: api.post(ACCOUNTS, ACCOUNT)),
    Row("create_account", "exists", _account_twice),
    Row("create_account", "limit", _account_too_many),
    Row("get_account", 200, lambda api: _of_account(api, "GET")),
    Row("get_account", "no_such_account", lambda api: _of_no_account(api, "GET")),
    Row("change_account", 200, lambda api: _of_account(api, "PATCH", {"max_pins": 2})),
    Row("change_account", "no_such_account", lambda api: _of_no_account(api, "PATCH", {})),
    Row("remove_account", 204, lambda api: _of_account(api, "DELETE")),
    Row("remove_account", "no_such_account", lambda api: _of_no_account(api, "DELETE")),
    Row("list_audit", 200, lambda api: api.ask(f"{V1}/audit?limit=2")),
    Row("describe_pinning_service", 200, lambda api: api.ask("/.well-known/psa", token=None)),
    Row("log_in", 200, _log_in),
    Row("log_in", "unauthorized", lambda api: _log_in(api, password="another one")),
    Row("log_out", 200, lambda api: _as_ada(api, "POST", "/v1/accounts/logout", {})),
    Row("get_own_account", 200, lambda api: _as_ada(api, "GET", "/v1/accounts/account")),
    Row("list_pins", 200, lambda api: _as_ada(api, "GET", PINS)),
    Row("list_pins_of_folder", 200, lambda api: _as_ada(api, "GET", f"{PINS}/")),
    Row("add_pin", 200, lambda api: _as_ada(api, "POST", f"{PINS}/add", {"url": NOWHERE})),
    Row("add_pin", "bad_link", lambda api: _as_ada(api, "POST", f"{PINS}/add", {"url": "?"})),
    Row(
        "add_pin",
        "forbidden",
        lambda api: _as_ada(api, "POST", f"{PINS}/add", {"url": NOWHERE, "domains": ["a.example"]}),
    ),
    Row("add_pin", "quota", _quota),
    Row("remove_pin", 200, _unpinned),
    Row("remove_pin", "bad_link", lambda api: _as_ada(api, "POST", f"{PINS}/remove", {"url": "?"})),
    Row(
        "remove_pin",
        "unknown_archive",
        lambda api: _as_ada(api, "POST", f"{PINS}/remove", {"url": NOWHERE}),
    ),
    Row("get_pin", 200, lambda api: _as_ada(api, "GET", ITEM)),
    Row("get_pin", "bad_link", lambda api: _as_ada(api, "GET", f"{PINS}/item/xyz")),
    Row("get_pin", "unknown_archive", lambda api: _as_ada(api, "GET", f"{PINS}/item/{'ab' * 32}")),
    Row("change_pin", 200, lambda api: _as_ada(api, "POST", ITEM, {"name": "new"})),
    Row("change_pin", "bad_link", lambda api: _as_ada(api, "POST", f"{PINS}/item/xyz", {})),
    Row(
        "change_pin",
        "unknown_archive",
        lambda api: _as_ada(api, "POST", f"{PINS}/item/{'ab' * 32}", {}),
    ),
    Row(
        "change_pin",
        "forbidden",
        lambda api: _as_ada(api, "POST", ITEM, {"domains": ["a.example"]}),
    ),
]
