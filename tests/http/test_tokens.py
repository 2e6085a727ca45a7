import asyncio
import json

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.daemon import eventually

V1 = "/api/v1"
LINK = "dat://" + "ab" * 32
OTHER = "dat://" + "cd" * 32


class Clock:
    """A wall clock that a test sets."""

    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def api(tmp_path, clock):
    async with running_api(tmp_path, settings={"wall_clock": clock}) as running:
        yield running


async def make(api, status=201, **fields):
    answer = await api.post(f"{V1}/tokens", {"name": "x", **fields})
    assert answer.status == status, answer
    return answer.json


async def test_a_token_is_shown_once_and_works_at_once(api):
    made = await make(api, name="dashboard", scope="read")
    assert made["token"].startswith("datd_")
    me = (await api.ask(f"{V1}/whoami", token=made["token"])).json
    assert (me["name"], me["scope"]) == (f"token:{made['id']}", "read")
    listed = (await api.ask(f"{V1}/tokens")).json["tokens"]
    assert [one["name"] for one in listed] == ["dashboard"]
    assert "token" not in listed[0]
    assert listed[0]["last_used_at"] is not None


@pytest.mark.parametrize("scope", ["read", "control", "admin"])
async def test_a_token_may_what_its_scope_says_and_nothing_above(api, scope):
    token = (await make(api, scope=scope))["token"]
    rank = ["read", "control", "admin"].index(scope)
    body = json.dumps({"link": LINK}).encode()
    asked = [
        await api.ask(f"{V1}/archives", token=token),
        await api.ask(
            f"{V1}/archives", "Content-Type: application/json",
            method="POST", body=body, token=token,
        ),
        await api.ask(f"{V1}/tokens", token=token),
    ]  # fmt: skip
    assert [answer.status < 400 for answer in asked] == [number <= rank for number in range(3)]
    for needed, answer in list(zip(["read", "control", "admin"], asked, strict=True))[rank + 1 :]:
        assert (answer.status, answer.kind) == (403, "forbidden")
        assert needed in answer.json["detail"]
        assert f'scope="{needed}"' in answer.headers["www-authenticate"]


async def test_a_revoked_token_is_none_any_more(api):
    made = await make(api)
    await api.ask(f"{V1}/whoami", token=made["token"])
    path = f"{V1}/tokens/{made['id']}"
    assert (await api.ask(path, method="DELETE")).status == 204
    answer = await api.ask(f"{V1}/whoami", token=made["token"])
    assert (answer.status, answer.kind) == (401, "unauthorized")
    assert (await api.ask(path, method="DELETE")).kind == "no_such_token"


async def test_a_token_ends_when_its_time_has_passed(api, clock):
    token = (await make(api, expires_in=60))["token"]
    clock.now += 59
    assert (await api.ask(f"{V1}/whoami", token=token)).status == 200
    clock.now += 1
    assert (await api.ask(f"{V1}/whoami", token=token)).status == 401


async def test_a_token_makes_none_that_outlives_it(api):
    admin = (await make(api, scope="admin", expires_in=60))["token"]
    for fields, status in (({}, 403), ({"expires_in": 61}, 403), ({"expires_in": 60}, 201)):
        answer = await api.ask(
            f"{V1}/tokens", "Content-Type: application/json", method="POST", token=admin,
            body=json.dumps({"name": "y", "scope": "admin", **fields}).encode(),
        )  # fmt: skip
        assert answer.status == status


async def test_a_token_for_one_archive_sees_no_other(api):
    for link, name in ((LINK, "mine"), (OTHER, "theirs")):
        await api.post(f"{V1}/archives", {"link": link, "name": name})
    token = (await make(api, scope="control", archives=["mine"]))["token"]

    async def ask(path, method="GET"):
        return await api.ask(f"{V1}{path}", token=token, method=method)

    assert [one["name"] for one in (await ask("/archives")).json["archives"]] == ["mine"]
    for name in ("mine", LINK.removeprefix("dat://"), "abababab"):
        assert (await ask(f"/archives/{name}")).status == 200
    assert (await ask("/archives/mine/pause", "POST")).json["state"] == "paused"
    unknown = await ask("/archives/nobody")
    for name in ("theirs", OTHER.removeprefix("dat://"), "cdcdcdcd"):
        for path, method in (("", "GET"), ("", "DELETE"), ("/pause", "POST"), ("/files/", "GET")):
            answer = await ask(f"/archives/{name}{path}", method)
            assert (answer.status, answer.kind) == (404, "unknown_archive")
            assert answer.json["detail"] == unknown.json["detail"].replace("nobody", name)
    for path in ("/stats", "/peers"):
        assert (await ask(path)).kind == "forbidden"
    assert (await ask("/jobs?archive=theirs")).kind == "unknown_archive"
    for path in ("/archives", "/archives/mine/fork"):
        assert (await ask(path, "POST")).kind == "forbidden"
    assert len((await api.ask(f"{V1}/archives")).json["archives"]) == 2


async def test_how_many_archives_begin_so_is_not_told(api):
    for link in ("dat://" + "ab" * 31 + "00", "dat://" + "ab" * 31 + "01"):
        await api.post(f"{V1}/archives", {"link": link})
    token = (await make(api, archives=["ab" * 31 + "00"]))["token"]
    answer = await api.ask(f"{V1}/archives/ababab", token=token)
    assert answer.kind == "unknown_archive"
    assert "2 archives" not in answer.json["detail"]


@pytest.mark.parametrize("question", ["/events?format=json&archive=", "/jobs?archive="])
async def test_the_digits_of_a_hidden_key_cannot_be_guessed_one_by_one(api, question):
    for link in (LINK, OTHER, "dat://cdcd" + "ef" * 30):
        await api.post(f"{V1}/archives", {"link": link})
    token = (await make(api, archives=[LINK]))["token"]

    async def said(digits):
        answer = await api.ask(f"{V1}{question}{digits}", token=token)
        assert answer.kind == "unknown_archive"
        return answer.json["detail"].replace(digits, "…")

    assert await said("cdcd") == await said("ef12")
    assert "6 digits" in await said("ef12")
    assert await said("cdcdcdcd") == await said("ef12ef12") == await said(OTHER[6:])


async def test_a_page_of_events_that_waits_tells_a_revoked_token_nothing(api):
    made = await make(api)
    async with asyncio.TaskGroup() as group:
        asking = api.ask(f"{V1}/events?format=json&wait=1.5&since=0", token=made["token"])
        waiting = group.create_task(asking)
        await eventually(
            lambda: api.library.services.events._listeners - {api.library.herald.webhooks}
        )
        assert (await api.ask(f"{V1}/tokens/{made['id']}", method="DELETE")).status == 204
        await api.post(f"{V1}/archives", {"link": LINK})
    assert waiting.result().json["events"] == []


async def test_t50_the_disk_holds_no_secret(api, tmp_path):
    made = await make(api)
    await api.ask(f"{V1}/whoami", token=made["token"])
    secret = made["token"].encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.startswith("catalogue") for path in files)
    for path in files:
        assert secret not in path.read_bytes(), path
        assert TOKEN.encode() not in path.read_bytes(), path


async def test_tokens_are_there_after_a_restart(tmp_path, clock):
    async with running_api(tmp_path, settings={"wall_clock": clock}) as api:
        kept = await make(api, scope="control", archives=[LINK], expires_in=99)
        gone = await make(api)
        await api.ask(f"{V1}/tokens/{gone['id']}", method="DELETE")
    async with running_api(tmp_path, settings={"wall_clock": clock}) as api:
        me = (await api.ask(f"{V1}/whoami", token=kept["token"])).json
        assert me["archives"] == [LINK.removeprefix("dat://")]
        assert me["expires_at"] == kept["expires_at"]
        assert (await api.ask(f"{V1}/whoami", token=gone["token"])).status == 401


@pytest.mark.parametrize(
    "fields",
    [{"scope": "account"}, {"scope": "public"}, {"name": ""}, {"expires_in": 0}, {"archives": []},
     {"archives": ["nothing"]}, {"expires_in": 10**12}, {"token": "mine"}],
)  # fmt: skip
async def test_odd_tokens_are_refused(api, fields):
    await make(api, 400, **fields)
    assert (await api.ask(f"{V1}/tokens")).json["tokens"] == []
