import json

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.daemon import eventually

from datd.errors import StorageError
from datd.http.attempts import MAX_FAILURES

KEY, OTHER = "ab" * 32, "cd" * 32
PASSWORD = "correct horse"


class Person:
    """Somebody with an account, who speaks as the clients do."""

    def __init__(self, api, name="ada"):
        self.api, self.name, self.token = api, name, None

    async def ask(self, path, body=None, **options):
        options = {"token": self.token, **options}
        if body is None:
            return await self.api.ask(path, **options)
        data = json.dumps(body).encode()
        header = "Content-Type: application/json"
        return await self.api.ask(path, header, method="POST", body=data, **options)

    async def log_in(self, password=PASSWORD):
        answer = await self.ask("/v1/accounts/login", {"username": self.name, "password": password})
        if answer.status == 200:
            self.token = answer.json["sessionToken"]
        return answer

    async def urls(self):
        return [item["url"] for item in (await self.ask("/v1/dats/")).json["items"]]


@pytest.fixture
async def ada(api):
    await api.desk.accounts.add("ada", PASSWORD, max_bytes=10**6, max_pins=5)
    person = Person(api)
    await person.log_in()
    return person


async def test_anybody_is_told_where_the_service_lies(api):
    answer = await api.ask("/.well-known/psa", token=None)
    assert answer.json["PSA"] == 1
    assert {link["href"] for link in answer.json["links"]} == {"/v1/accounts", "/v1/dats"}
    assert (await api.ask("/.well-known/psa", token=None, host="evil.example")).status == 421


async def test_pins_are_added_listed_read_renamed_and_removed(ada):
    added = await ada.ask("/v1/dats/add", {"url": f"dat://{KEY}/", "name": "mine"})
    assert added.json["url"] == f"dat://{KEY}"
    assert (await ada.ask("/v1/dats")).json == (await ada.ask("/v1/dats/")).json
    assert (await ada.ask(f"/v1/dats/item/{KEY}")).json["name"] == "mine"
    await ada.ask(f"/v1/dats/item/{KEY}", {"name": "other"})
    await ada.ask(f"/v1/dats/item/{KEY}", {})
    assert (await ada.ask(f"/v1/dats/item/{KEY}")).json["name"] == "other"
    again = await ada.ask("/v1/dats/add", {"url": f"hyper://{KEY}+12/a"})
    assert again.json["name"] == "other"
    assert await ada.urls() == [f"dat://{KEY}"]
    assert (await ada.ask("/v1/accounts/account")).json["pins"] == 1
    assert (await ada.ask("/v1/dats/remove", {"url": KEY})).json == {}
    assert await ada.urls() == []


async def test_items_tell_what_the_archive_says_of_itself(ada, api):
    hosted = await api.host("archival-nested", domain="x.example")
    async with api.library.find(hosted.key.hex).opened():

        async def counted():  # which goes on in the background
            shown = (await api.ask(hosted.path)).json
            return shown["title"] if shown["state"] == "seeding" else None

        title = await eventually(counted)
    item = (await ada.ask("/v1/dats/add", {"url": hosted.key.hex})).json
    shown = (await api.ask(hosted.path)).json
    assert item["title"] == title
    assert item["diskUsage"] == shown["bytes"]["have"] > 0
    assert item["additionalUrls"] == ["https://x.example/"]
    assert (await ada.ask("/v1/accounts/account")).json["diskUsage"] == item["diskUsage"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/dats/add", {"url": "nothing at all"}, 400),
        ("/v1/dats/add", {"url": "/home/ada/site"}, 400),
        ("/v1/dats/add", {"url": KEY, "domains": ["bank.example"]}, 403),
        ("/v1/dats/add", {}, 400),
        ("/v1/dats/add", {"url": KEY, "name": "a\u0000"}, 400),
        ("/v1/dats/remove", {"url": OTHER}, 404),
        ("/v1/dats/item/xyz", None, 400),
        (f"/v1/dats/item/{OTHER}", None, 404),
        (f"/v1/dats/item/{OTHER}", {"name": "x"}, 404),
        ("/v1/dats/nothing", None, 404),
    ],
)
async def test_errors_have_a_message_beside_the_members_of_a_problem(ada, path, body, status):
    answer = await ada.ask(path, body)
    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.json["message"] == answer.json["detail"]
    assert await ada.urls() == []


async def test_the_api_itself_says_nothing_twice(api):
    assert "message" not in (await api.ask("/api/v1/nothing")).json


async def test_t42_who_guesses_waits_and_so_does_who_knows_by_then(tmp_path):
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock = Clock()
    async with running_api(tmp_path, settings={"clock": clock}) as api:
        await api.desk.accounts.add("ada", PASSWORD, max_bytes=1, max_pins=1)
        ada = Person(api)
        assert [(await ada.log_in("wrong")).status for _ in range(MAX_FAILURES)] == [
            401
        ] * MAX_FAILURES
        answer = await ada.log_in()
        assert (answer.status, answer.kind) == (429, "too_many")
        assert 0 < int(answer.headers["retry-after"]) <= 61
        clock.now += 61
        assert (await ada.log_in()).status == 200
        # Whoever mistyped now and then is not held against it once the password was known.
        for _ in range(3 * MAX_FAILURES // 4):
            await ada.log_in("wrong")
        assert (await ada.log_in()).status == 200


async def test_t42_a_wrong_password_and_an_unknown_name_are_answered_alike(api, ada):
    wrong, unknown = await ada.log_in("wrong"), await Person(api, "eve").log_in()
    assert (wrong.status, unknown.status) == (401, 401)
    assert wrong.body == unknown.body


async def test_a_login_is_for_pins_only_and_a_token_is_no_account(api, ada):
    for path in ("/api/v1/archives", "/api/v1/stats", "/api/v1/tokens", "/api/v1/whoami"):
        answer = await ada.ask(path)
        assert (answer.status, answer.kind) == (403, "forbidden")
    for options in ({"token": TOKEN}, {"token": None, "unix": True}):
        answer = await api.ask("/v1/dats", **options)
        assert answer.status == 403
        assert "datctl accounts add" in answer.json["message"]
    assert (await ada.ask("/v1/dats", unix=True)).status == 200, "behind a proxy on the socket"


async def test_who_logs_out_is_out(ada):
    assert (await ada.ask("/v1/accounts/logout", {})).json == {}
    answer = await ada.ask("/v1/dats")
    assert answer.status == 401
    assert "log in" in answer.json["message"]
    assert (await ada.log_in()).status == 200, "although the old login is sent along"
    assert await ada.urls() == []


async def test_there_are_no_cookies_and_a_login_is_never_one_that_was_sent(ada):
    before = ada.token
    answer = await ada.log_in()
    assert "set-cookie" not in answer.headers
    assert ada.token != before
    answer = await ada.ask("/v1/accounts/login", {
        "username": "ada", "password": PASSWORD, "sessionToken": before,
    })  # fmt: skip
    assert answer.json["sessionToken"] not in (before, ada.token)


async def test_a_removed_account_is_out_at_once_with_what_it_alone_kept(api, ada):
    await ada.ask("/v1/dats/add", {"url": KEY})
    await api.ask("/api/v1/accounts/ada", method="DELETE")
    assert (await ada.ask("/v1/dats")).status == 401
    assert (await api.ask("/api/v1/archives")).json["archives"] == []


async def test_nobody_makes_an_account_unless_the_setting_says_so(api, tmp_path_factory):
    body = {"username": "ada", "password": PASSWORD}
    assert (await api.post("/v1/accounts/register", body)).status == 404
    folder = tmp_path_factory.mktemp("open")
    async with running_api(folder, settings={"registration": True, "max_pins": 1}) as other:
        ada = Person(other)
        assert (await ada.ask("/v1/accounts/register", body)).status == 201
        assert (await ada.ask("/v1/accounts/register", body)).status == 409
        await ada.log_in()
        assert (await ada.ask("/v1/accounts/account")).json["maxPins"] == 1


async def test_pinning_is_in_the_audit_log_without_links(api, ada):
    await Person(api).log_in("wrong")
    await ada.ask("/v1/dats/add", {"url": KEY})
    await ada.ask("/v1/dats/remove", {"url": KEY})
    entries = (await api.ask("/api/v1/audit")).json["entries"]
    assert [(line["who"], line["action"], line["status"]) for line in entries] == [
        ("account:ada", "log_in", 200),
        ("nobody", "log_in", 401),
        ("account:ada", "add_pin", 200),
        ("account:ada", "remove_pin", 200),
    ]
    assert entries[2]["archive"] == entries[3]["archive"] != KEY


async def test_t50_the_disk_holds_no_login(ada, tmp_path):
    await ada.urls()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert ada.token.encode() not in path.read_bytes(), path


async def test_an_account_is_told_nothing_of_folders_and_faults_of_the_host(ada, api):
    await ada.ask("/v1/dats/add", {"url": KEY})
    archive = api.library.find(KEY)
    archive.fail(StorageError("cannot write '/srv/secret/place': no space"))
    shown = (await ada.ask(f"/v1/dats/item/{KEY}")).json
    assert shown["state"] == "error"
    assert "secret" not in shown["error"]
    assert "operator" in shown["error"]
