import json

from tests.helpers.api import TOKEN, running_api

from datd.http.attempts import MAX_FAILURES
from datd.keys import Key

V1 = "/api/v1"
KEY = "ab" * 32
DISCOVERY = str(Key(bytes.fromhex(KEY)).discovery_key)


async def lines(api):
    entries = (await api.ask(f"{V1}/audit")).json["entries"]
    return [(line["who"], line["action"], line["archive"], line["status"]) for line in entries]


async def test_each_change_is_noted_with_who_did_it_and_what_came_of_it(api):
    await api.post(f"{V1}/archives", {"link": KEY})
    await api.ask(f"{V1}/archives/{KEY}/pause", method="POST")
    await api.ask(f"{V1}/archives/nobody", method="DELETE")
    await api.post(f"{V1}/archives", {"link": "no link"})
    await api.ask(f"{V1}/archives/{KEY}", method="DELETE")
    assert await lines(api) == [
        ("api.token", "add_archive", DISCOVERY, 201),
        ("api.token", "pause_archive", DISCOVERY, 200),
        ("api.token", "remove_archive", None, 404),
        ("api.token", "add_archive", None, 400),
        ("api.token", "remove_archive", DISCOVERY, 204),
    ]


async def test_reading_is_not_noted_but_a_secret_key_is(api):
    created = await api.post(f"{V1}/archives", {"new": {}})
    key = created.json["key"]
    for path in ("", "/stats", "/files/", "/secret_key"):
        await api.ask(f"{V1}/archives/{key}{path}")
    assert [action for _, action, _, _ in await lines(api)] == ["add_archive", "get_secret_key"]


async def test_tokens_and_the_socket_have_names(api):
    made = (await api.post(f"{V1}/tokens", {"name": "x", "scope": "control"})).json
    await api.ask(f"{V1}/archives/nobody/pause", method="POST", token=made["token"])
    await api.ask(f"{V1}/tokens", method="POST", token=made["token"])
    await api.ask(f"{V1}/archives/nobody/pause", method="POST", token=None, unix=True)
    found = (await api.ask(f"{V1}/audit")).json["entries"]
    assert [line["who"] for line in found[1:3]] == [f"token:{made['id']}"] * 2
    assert [line["status"] for line in found[1:3]] == [404, 403]
    assert found[3]["who"].startswith("unix:")
    assert [line["source"] for line in found] == ["127.0.0.1"] * 3 + ["unix"]


async def test_strangers_cannot_fill_the_log(api):
    for token in (None, "wrong", TOKEN + "x"):
        await api.ask(f"{V1}/archives", method="POST", token=token)
    assert await lines(api) == []


async def test_attempts_to_log_in_that_nobody_looked_at_are_not_noted_without_end(tmp_path):
    login, kind = b'{"username": "ada", "password": "no"}', "Content-Type: application/json"
    # All within one minute, however long passwords take.
    async with running_api(tmp_path, settings={"clock": lambda: 0.0}) as api:
        for _ in range(MAX_FAILURES + 10):
            await api.ask("/v1/accounts/login", kind, method="POST", body=login, token=None)
        found = await lines(api)
    assert len(found) == MAX_FAILURES
    assert {status for *_, status in found} == {401}


async def test_t50_the_log_holds_neither_links_nor_secrets(api, tmp_path):
    await api.post(f"{V1}/archives", {"link": KEY})
    created = (await api.post(f"{V1}/archives", {"new": {}})).json["key"]
    secret = (await api.ask(f"{V1}/archives/{created}/secret_key")).json["secret_key"]
    made = (await api.post(f"{V1}/tokens", {"name": "canary-name"})).json
    await api.post(f"{V1}/accounts", {"name": "ada", "password": "canary-password"})
    await api.ask(f"{V1}/audit")
    text = (tmp_path / "audit.jsonl").read_text()
    assert text.count("\n") == 5
    for hidden in (KEY, created, secret, made["token"], TOKEN, "canary"):
        assert hidden not in text


async def test_pages_go_on_where_the_last_one_ended(api):
    for _ in range(5):
        await api.ask(f"{V1}/archives/nobody/pause", method="POST")
    first = (await api.ask(f"{V1}/audit?since=0&limit=3")).json
    second = (await api.ask(f"{V1}/audit?since={first['next']}&limit=3")).json
    assert [line["id"] for line in first["entries"] + second["entries"]] == [1, 2, 3, 4, 5]
    assert (await api.ask(f"{V1}/audit?since={second['next']}")).json == {"entries": [], "next": 5}
    for query in ("since=-1", "limit=0", "limit=1001", "since=x"):
        assert (await api.ask(f"{V1}/audit?{query}")).kind == "bad_request"


async def test_only_administrators_read_it(api):
    for scope, status in (("read", 403), ("control", 403), ("admin", 200)):
        made = (await api.post(f"{V1}/tokens", {"name": "x", "scope": scope})).json
        assert (await api.ask(f"{V1}/audit", token=made["token"])).status == status
    assert json.loads((await api.ask(f"{V1}/audit")).body)["next"] == 3
