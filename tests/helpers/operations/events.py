"""Rows of events, webhooks, numbers, the diagnosis, and SLEEP files."""

from datd.hosting.telling.webhooks import MAX_WEBHOOKS
from tests.helpers.api import Answer, RunningApi
from tests.helpers.operations.row import NOWHERE, V1, Row, damaged, send, theirs

EVENTS = f"{V1}/events"
HOOKS = f"{V1}/webhooks"
HOOK = {"url": "https://receiver.example/hook", "enabled": False}


async def _read(api: RunningApi) -> Answer:
    await theirs(api)
    return await api.ask(f"{EVENTS}?format=json&since=0&wait=5")


async def _of_hook(
    api: RunningApi, method: str, target: str = "", document: object = None
) -> Answer:
    # Nobody is asked: where it leads may not be asked.
    made = await api.post(HOOKS, HOOK | {"url": "http://localhost:9/"})
    assert made.status == 201, made
    path = f"{HOOKS}/{made.json['id']}{target}"
    if document is None:
        return await api.ask(path, method=method)
    return await send(api, method, path, document)


async def _hook_too_many(api: RunningApi) -> Answer:
    for _ in range(MAX_WEBHOOKS):
        assert (await api.post(HOOKS, HOOK)).status == 201
    return await api.post(HOOKS, HOOK)


async def _sleep(api: RunningApi, *headers: str, name: str = "metadata.tree") -> Answer:
    return await api.ask(f"{await theirs(api)}/sleep/{name}", *headers)


async def _sleep_unchanged(api: RunningApi) -> Answer:
    path = f"{await theirs(api)}/sleep/metadata.tree"
    etag = (await api.ask(path)).headers["etag"]
    return await api.ask(path, f"If-None-Match: {etag}")


async def _sleep_of_nobody(api: RunningApi) -> Answer:
    sparse = await api.host("clone-sparse-metadata")
    return await api.ask(f"{sparse.path}/sleep/content.bitfield?newest=true")


EVENT_ROWS = [
    Row("get_metrics", 200, lambda api: api.ask("/metrics")),
    Row("get_diagnosis", 200, lambda api: api.ask(f"{V1}/diagnosis")),
    Row("follow_events", 200, _read),
    Row(
        "follow_events",
        "unknown_archive",
        lambda api: api.ask(f"{EVENTS}?format=json&archive={NOWHERE}"),
    ),
    Row("list_webhooks", 200, lambda api: api.ask(HOOKS)),
    Row("add_webhook", 201, lambda api: api.post(HOOKS, HOOK)),
    Row("add_webhook", "busy", _hook_too_many),
    Row(
        "add_webhook",
        "unknown_archive",
        lambda api: api.post(HOOKS, HOOK | {"archive": NOWHERE}),
    ),
    Row("get_webhook", 200, lambda api: _of_hook(api, "GET")),
    Row("get_webhook", "no_such_webhook", lambda api: api.ask(f"{HOOKS}/none")),
    Row("change_webhook", 200, lambda api: _of_hook(api, "PATCH", document={"tag": "t"})),
    Row(
        "change_webhook",
        "no_such_webhook",
        lambda api: send(api, "PATCH", f"{HOOKS}/none", {}),
    ),
    Row(
        "change_webhook",
        "unknown_archive",
        lambda api: _of_hook(api, "PATCH", document={"archive": NOWHERE}),
    ),
    Row("remove_webhook", 204, lambda api: _of_hook(api, "DELETE")),
    Row("remove_webhook", "no_such_webhook", lambda api: api.ask(f"{HOOKS}/none", method="DELETE")),
    Row("test_webhook", 200, lambda api: _of_hook(api, "POST", "/test")),
    Row(
        "test_webhook",
        "no_such_webhook",
        lambda api: api.ask(f"{HOOKS}/none/test", method="POST"),
    ),
    Row("get_sleep_file", 200, _sleep),
    Row("get_sleep_file", 206, lambda api: _sleep(api, "Range: bytes=0-31")),
    Row("get_sleep_file", 304, _sleep_unchanged),
    Row("get_sleep_file", "no_such_file", lambda api: _sleep(api, name="metadata.secret_key")),
    Row("get_sleep_file", "bad_range", lambda api: _sleep(api, "Range: bytes=9999999-")),
    Row("get_sleep_file", "no_peers", _sleep_of_nobody),
    Row("get_sleep_file", "damaged", lambda api: damaged(api, "/sleep/metadata.tree")),
]
