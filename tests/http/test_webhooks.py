import json
from ipaddress import ip_network

import pytest
from tests.helpers.api import TOKEN
from tests.helpers.daemon import eventually
from tests.helpers.receivers import receiver
from tests.helpers.small_web import SmallWeb

from datd.naming.web import Web

V1 = "/api/v1"
HOOKS = f"{V1}/webhooks"
URL = "https://a.example/hook"


@pytest.fixture
async def open_api(api):
    """The API with a way out that leads to loopback, as `webhooks.allow_networks` has it."""
    web = Web(allow=[ip_network("127.0.0.0/8")], plain=True, setting="webhooks.allow_networks")
    api.library.herald.webhooks._web = web
    api.library.services.webhook_networks = (ip_network("127.0.0.0/8"),)
    yield api
    await web.close()


async def change(api, path, document, method="PATCH"):
    body = json.dumps(document).encode()
    return await api.ask(path, "Content-Type: application/json", method=method, body=body)


async def test_a_webhook_from_its_making_to_its_end(open_api):
    api = open_api
    async with receiver() as hook:
        made = await api.post(HOOKS, {"url": hook.url, "kinds": ["archive.*"], "tag": "t"})
        assert made.status == 201
        secret, one = made.json["secret"], f"{HOOKS}/{made.json['id']}"
        assert secret.startswith("whsec_")
        shown = (await api.ask(one)).json
        assert shown["secret"] is None
        assert {**shown, "secret": secret} == made.json
        assert (await api.ask(HOOKS)).json == {"webhooks": [shown]}
        tested = await api.post(f"{one}/test", {})
        assert tested.json == {"delivered": True, "status": 204, "error": None}
        assert hook.taken[0].event["kind"] == "webhook.test"
        assert hook.taken[0].is_signed_with(secret)
        await api.post(f"{V1}/archives", {"new": {"title": "a"}})
        await api.post(f"{V1}/archives", {"new": {"title": "b"}, "tags": ["t"]})
        await eventually(lambda: len(hook.taken) > 1)
        assert hook.taken[1].event["tags"] == ["t"]
        changed = await change(api, one, {"kinds": [], "tag": None, "secret": None})
        assert changed.json["secret"] not in (None, secret)
        assert (changed.json["kinds"], changed.json["tag"]) == ([], None)
        assert (await api.ask(one, method="DELETE")).status == 204
        assert (await api.ask(one)).kind == "no_such_webhook"
        assert (await api.ask(HOOKS)).json == {"webhooks": []}


async def test_a_secret_may_be_given(open_api):
    secret = "whsec_" + "A" * 32
    made = await open_api.post(HOOKS, {"url": URL, "secret": secret, "enabled": False})
    assert made.json["secret"] == secret
    assert (await open_api.post(HOOKS, {"url": URL, "secret": "short"})).kind == "bad_request"


async def test_files_of_an_archive_are_sent(open_api):
    api = open_api
    made = await api.post(f"{V1}/archives", {"new": {"title": "a"}, "name": "n"})
    async with receiver() as hook:
        answer = await api.post(
            HOOKS, {"url": hook.url, "archive": "n", "path": "/a", "kinds": ["file.*"]}
        )
        assert answer.json["archive"] == made.json["key"]
        await api.ask(f"{V1}/archives/n/files/b", method="PUT", body=b"b")
        await api.ask(f"{V1}/archives/n/files/a", method="PUT", body=b"a")
        await eventually(lambda: hook.taken)
        assert [one.event["path"] for one in hook.taken] == ["/a"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"url": ""}, {"url": "a.example"}, {"url": "ftp://a.example/"}, {"url": "https://"},
        {"url": "https://u:p@a.example/"}, {"url": "https://a.example/#x"},
        {"url": "https://[::1"}, {"url": "https://a.example:99999/"}, {"url": "x" * 3000},
        {"url": URL, "kinds": ["nothing"]}, {"url": URL, "path": "/a"}, {"url": URL, "x": 1},
        {"url": URL, "kinds": "archive.added"},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_a_bad_request(api, body):
    assert (await api.post(HOOKS, body)).kind == "bad_request"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "0.0.0.0", "[::ffff:127.0.0.1]",
             "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[fe80::1%251]"],
)  # fmt: skip
async def test_t49_private_addresses_are_refused_and_the_setting_is_named(api, host):
    answer = await api.post(HOOKS, {"url": f"http://{host}/hook"})
    assert answer.kind == "bad_request"
    assert "webhooks.allow_networks" in answer.json["detail"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "::1"])
async def test_t49_a_name_that_leads_inside_is_not_asked(api, address):
    inside = SmallWeb()
    inside.addresses["a.example"] = [address]
    web = Web(plain=True, resolver=inside, setting="webhooks.allow_networks")
    api.library.herald.webhooks._web = web
    async with receiver() as hook:
        url = f"http://a.example:{hook.port}/hook"
        made = await api.post(HOOKS, {"url": url})
        tested = await api.post(f"{HOOKS}/{made.json['id']}/test", {})
        assert not tested.json["delivered"]
        assert "webhooks.allow_networks" in tested.json["error"]
        assert hook.requests == []
    await web.close()


async def test_t49_a_redirect_is_a_failure_and_not_followed(open_api):
    async with receiver() as hook, receiver() as other:
        hook.status, hook.headers = 302, {"Location": other.url}
        made = await open_api.post(HOOKS, {"url": hook.url})
        tested = (await open_api.post(f"{HOOKS}/{made.json['id']}/test", {})).json
        assert (tested["delivered"], tested["status"]) == (False, 302)
        assert "not followed" in tested["error"]
        assert other.requests == []


@pytest.mark.parametrize(
    "body", [{"url": None}, {"kinds": None}, {"enabled": None}, {"path": "/a"}, {"kinds": ["x"]},
             {"secret": "x"}, {"url": "ftp://x/"}, {"archive": "nothing"}],
)  # fmt: skip
async def test_changes_that_make_no_sense_change_nothing(api, body):
    made = await api.post(HOOKS, {"url": URL, "enabled": False})
    one = f"{HOOKS}/{made.json['id']}"
    answer = await change(api, one, body)
    assert answer.kind == ("unknown_archive" if "archive" in body else "bad_request")
    assert (await api.ask(one)).json == {**made.json, "secret": None}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")],
)
async def test_a_webhook_that_is_not_there(api, method, path):
    headers = ["Content-Type: application/json"]
    answer = await api.ask(f"{HOOKS}/nothing{path}", *headers, method=method, body=b"")
    assert answer.kind == "no_such_webhook"


async def test_only_the_administrator_has_to_do_with_webhooks(api):
    made = await api.post(f"{V1}/tokens", {"name": "narrow", "scope": "control"})
    secret = made.json.get("secret") or made.json.get("token")
    assert secret != TOKEN
    for method in ("GET", "POST"):
        answer = await api.ask(HOOKS, method=method, token=secret)
        assert answer.status == 403
