"""Rows of the daemon, of archives and of long work."""

from datd.hosting.keeping.room import Room
from tests.helpers.api import Answer, RunningApi
from tests.helpers.operations.row import (
    ARCHIVES,
    JSON,
    NOWHERE,
    V1,
    Row,
    filled,
    make,
    nowhere,
    send,
    theirs,
    while_under_way,
)


async def _published(api: RunningApi) -> dict[str, str]:
    folder = api.folder.with_name(f"{api.folder.name}-site")
    folder.mkdir()
    (folder / "index.html").write_text("hello")
    return {"folder": str(folder)}


async def _folder_twice(api: RunningApi) -> Answer:
    asked = await _published(api)
    assert (await api.post(ARCHIVES, asked)).status == 201
    return await api.post(ARCHIVES, asked)


async def _other_settings(api: RunningApi) -> Answer:
    await nowhere(api)
    return await api.post(ARCHIVES, {"link": NOWHERE, "name": "other"})


async def _reused_key(api: RunningApi) -> Answer:
    key = 'Idempotency-Key: "one"'
    assert (await api.post(ARCHIVES, {"new": {}}, key)).status == 201
    return await api.post(ARCHIVES, {"new": {"title": "another"}}, key)


async def _of_domain(api: RunningApi) -> Answer:
    await api.post(ARCHIVES, {"new": {}, "domain": "dat.example"})
    return await api.ask("/.well-known/dat", token=None, host="dat.example")


async def _with_theirs(api: RunningApi, method: str, target: str, document: object) -> Answer:
    return await send(api, method, await theirs(api) + target, document)


async def _shown(api: RunningApi) -> Answer:
    return await api.ask(await theirs(api))


async def _inner_peer(api: RunningApi) -> Answer:
    path = await nowhere(api)
    made = await api.post(f"{V1}/tokens", {"name": "x", "scope": "control"})
    body = b'{"address": "127.0.0.1:9"}'
    token = made.json["token"]
    return await api.ask(f"{path}/peers", JSON, method="POST", body=body, token=token)


async def _ours_removed(api: RunningApi) -> Answer:
    return await api.ask(await make(api), method="DELETE")


async def _own_key(api: RunningApi) -> Answer:
    return await api.ask(f"{await make(api)}/secret_key")


async def _own_key_damaged(api: RunningApi) -> Answer:
    path = await make(api)
    for file in [one for one in (api.folder / "keys").rglob("*") if one.is_file()]:
        file.write_bytes(b"x")
    return await api.ask(f"{path}/secret_key")


async def _fork_of_nothing(api: RunningApi) -> Answer:
    return await send(api, "POST", f"{await nowhere(api)}/fork?wait=0", {})


async def _not_modified(api: RunningApi) -> Answer:
    path = await theirs(api)
    etag = (await api.ask(path)).headers["etag"]
    return await api.ask(path, f"If-None-Match: {etag}")


async def _name_taken(api: RunningApi) -> Answer:
    path = await make(api)
    await make(api, name="second")
    return await send(api, "PATCH", path, {"name": "second"})


async def _pruned(api: RunningApi) -> Answer:
    return await send(api, "PATCH", await filled(api), {"mode": "latest"})


async def _changed_meanwhile(api: RunningApi, method: str) -> Answer:
    path = await theirs(api)
    etag = (await api.ask(path)).headers["etag"]
    assert (await send(api, "PATCH", path, {"name": "new"})).status == 200
    return await send(api, method, path, {}, f"If-Match: {etag}")


async def _forked(api: RunningApi) -> Answer:
    return await send(api, "POST", f"{await filled(api)}/fork", {})


async def _fork_named(api: RunningApi) -> Answer:
    return await send(api, "POST", f"{await filled(api)}/fork", {"name": "ours"})


async def _fork_reused(api: RunningApi) -> Answer:
    path, key = await filled(api), "Idempotency-Key: one"
    assert (await send(api, "POST", f"{path}/fork", {}, key)).status == 201
    return await send(api, "POST", f"{path}/fork", {"title": "x"}, key)


async def _given_key(api: RunningApi) -> Answer:
    path = await make(api)
    secret = (await api.ask(f"{path}/secret_key")).json["secret_key"]
    return await send(api, "PUT", f"{path}/secret_key", {"secret_key": secret})


async def _adopted(api: RunningApi) -> Answer:
    asked = await _published(api)
    return await send(api, "POST", f"{await theirs(api)}/adopt", asked)


async def _rescanned(api: RunningApi) -> Answer:
    made = await api.post(ARCHIVES, await _published(api))
    return await send(api, "POST", f"{ARCHIVES}/{made.json['key']}/rescan", {})


async def _job(api: RunningApi, method: str) -> Answer:
    job = (await send(api, "POST", f"{await theirs(api)}/verify", {})).json
    return await api.ask(f"{V1}/jobs/{job['id']}", method=method)


async def _at_once(api: RunningApi, target: str, document: object) -> Answer:
    _, early = await while_under_way(api, target, document, "Idempotency-Key: one")
    return early


async def _fork_at_once(api: RunningApi) -> Answer:
    return await _at_once(api, f"{await nowhere(api)}/fork?wait=0", {})


async def _full(api: RunningApi) -> Answer:
    path = await make(api)
    api.library.services.room = Room(api.folder, clock=lambda: 0.0, max_bytes=0)
    return await api.ask(f"{path}/files/a", method="PUT", body=b"x")


ARCHIVE_ROWS = [
    Row("get_health", 200, lambda api: api.ask("/healthz")),
    Row("get_readiness", 200, lambda api: api.ask("/readyz")),
    Row("get_info", 200, lambda api: api.ask(V1)),
    Row("get_info_of_folder", 200, lambda api: api.ask(f"{V1}/")),
    Row("get_stats", 200, lambda api: api.ask(f"{V1}/stats")),
    Row("list_peers", 200, lambda api: api.ask(f"{V1}/peers")),
    Row("get_openapi", 200, lambda api: api.ask(f"{V1}/openapi.json")),
    Row("get_docs", 200, lambda api: api.ask(f"{V1}/docs")),
    Row("get_archive_of_domain", 200, _of_domain),
    Row("get_archive_of_domain", "no_such_route", lambda api: api.ask("/.well-known/dat")),
    Row("list_archives", 200, lambda api: api.ask(f"{ARCHIVES}?fields=name&mode=archive")),
    Row("add_archive", 201, lambda api: api.post(ARCHIVES, {"new": {"title": "Mine"}})),
    Row("add_archive", 200, _folder_twice),
    Row("add_archive", "bad_link", lambda api: api.post(ARCHIVES, {"link": "?"})),
    Row("add_archive", "exists", _other_settings),
    Row("add_archive", "reused_key", _reused_key),
    Row("add_archive", "conflict", lambda api: _at_once(api, ARCHIVES, {"new": {}})),
    Row("get_archive", 200, _shown),
    Row("get_archive", 304, _not_modified),
    Row("change_archive", 200, lambda api: _with_theirs(api, "PATCH", "", {"tags": ["new"]})),
    Row("change_archive", "exists", _name_taken),
    Row("change_archive", "conflict", _pruned),
    Row("change_archive", "precondition", lambda api: _changed_meanwhile(api, "PATCH")),
    Row("remove_archive", 204, lambda api: _with_theirs(api, "DELETE", "", {})),
    Row("remove_archive", "conflict", _ours_removed),
    Row("remove_archive", "precondition", lambda api: _changed_meanwhile(api, "DELETE")),
    Row("pause_archive", 200, lambda api: _with_theirs(api, "POST", "/pause", {})),
    Row("resume_archive", 200, lambda api: _with_theirs(api, "POST", "/resume", {})),
    Row("get_archive_stats", 200, lambda api: _with_theirs(api, "GET", "/stats", {})),
    Row("list_archive_peers", 200, lambda api: _with_theirs(api, "GET", "/peers", {})),
    Row(
        "add_archive_peer",
        200,
        lambda api: _with_theirs(api, "POST", "/peers", {"address": "127.0.0.1:9"}),
    ),
    Row("add_archive_peer", "forbidden", _inner_peer),
    Row("fork_archive", 201, _forked),
    Row("fork_archive", "exists", _fork_named),
    Row("fork_archive", "reused_key", _fork_reused),
    Row("fork_archive", "conflict", _fork_at_once),
    Row(
        "fork_archive",
        "no_such_version",
        lambda api: _with_theirs(api, "POST", "/fork", {"version": "unheard-of"}),
    ),
    Row("fork_archive", "no_peers", _fork_of_nothing),
    Row("rescan_archive", 202, _rescanned),
    Row("verify_archive", 202, lambda api: _with_theirs(api, "POST", "/verify", {})),
    Row("adopt_folder", 202, _adopted),
    Row("get_secret_key", 200, _own_key),
    Row("get_secret_key", "damaged", _own_key_damaged),
    Row("get_secret_key", "no_secret_key", lambda api: _with_theirs(api, "GET", "/secret_key", {})),
    Row("put_secret_key", 200, _given_key),
    Row("list_jobs", 200, lambda api: api.ask(f"{V1}/jobs?limit=1")),
    Row("list_jobs", "unknown_archive", lambda api: api.ask(f"{V1}/jobs?archive={'ef' * 32}")),
    Row("get_job", 200, lambda api: _job(api, "GET")),
    Row("get_job", "no_such_job", lambda api: api.ask(f"{V1}/jobs/none")),
    Row("cancel_job", 204, lambda api: _job(api, "DELETE")),
    Row("cancel_job", "no_such_job", lambda api: api.ask(f"{V1}/jobs/none", method="DELETE")),
    Row("put_file", "disk_full", _full),
]
