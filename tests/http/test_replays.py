import asyncio
import contextlib
import hashlib
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.helpers.api import TOKEN, running_api
from tests.helpers.daemon import eventually
from tests.helpers.folders import write
from tests.helpers.operations.row import ARCHIVES, filled, nowhere, send, while_under_way

from datd.books import answers as book
from datd.books.answers import Page
from datd.catalogue import Catalogue
from datd.hosting.keeping.room import Room
from datd.http import inputs
from datd.http.replays import KEPT_SECONDS, MAX_BODY, MAX_KEPT, Replays
from datd.keys import Key

KEY = 'Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"'


async def count(api):
    return len((await api.ask(ARCHIVES)).json["archives"])


async def title(api):
    return (await api.ask(f"{ARCHIVES}/one/files/dat.json")).json["title"]


async def test_what_is_sent_again_is_done_once(api):
    first = await api.post(ARCHIVES, {"new": {"title": "One"}}, KEY)
    again = await api.post(ARCHIVES, {"new": {"title": "One"}}, KEY)
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == "application/json"
    assert await count(api) == 1


async def test_without_a_key_each_request_is_one(api):
    for _ in range(2):
        assert (await api.post(ARCHIVES, {"new": {}})).status == 201
    assert await count(api) == 2


async def test_a_fork_is_made_once(api):
    path = await filled(api)
    keys = [
        (await send(api, "POST", f"{path}/fork", {"title": "Copy"}, KEY)).json["key"]
        for _ in range(2)
    ]
    assert keys[0] == keys[1]
    assert await count(api) == 2


async def test_one_key_is_for_one_address_and_one_body(api):
    path = await filled(api)
    assert (await api.post(ARCHIVES, {"new": {}}, KEY)).status == 201
    assert (await send(api, "POST", f"{path}/fork", {}, KEY)).status == 201
    other = await api.post(ARCHIVES, {"new": {"title": "another"}}, KEY)
    assert (other.status, other.kind) == (422, "reused_key")


async def test_two_at_once_make_one(api):
    asked = [api.post(ARCHIVES, {"new": {}}, KEY) for _ in range(5)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status for answer in answers)[0] == 201
    assert {answer.kind for answer in answers if answer.status != 201} <= {"conflict"}
    assert await count(api) == 1


async def test_who_is_told_that_it_is_under_way_is_told_when_to_come_again(api):
    path = await nowhere(api)
    late, early = await while_under_way(api, f"{path}/fork?wait=0", {}, KEY)
    assert (early.status, early.kind, early.headers["retry-after"]) == (409, "conflict", "1")
    assert late.kind == "no_peers"


async def test_what_failed_can_be_sent_again(api):
    taken = {"new": {}, "name": "taken"}
    assert (await api.post(ARCHIVES, taken)).status == 201
    assert (await api.post(ARCHIVES, taken, KEY)).kind == "exists"
    assert (await api.ask(f"{ARCHIVES}/taken?force=true", method="DELETE")).status == 204
    assert (await api.post(ARCHIVES, taken, KEY)).status == 201


async def test_a_restart_changes_nothing(tmp_path):
    async with running_api(tmp_path) as api:
        first = await api.post(ARCHIVES, {"new": {"title": "One"}}, KEY)
        path = f"{ARCHIVES}/{first.json['key']}"
        fork = await send(api, "POST", f"{path}/fork", {}, KEY)
    async with running_api(tmp_path) as api:
        again = await api.post(ARCHIVES, {"new": {"title": "One"}}, KEY)
        assert (again.status, again.body) == (201, first.body)
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["content-type"] == first.headers["content-type"]
        assert (await send(api, "POST", f"{path}/fork", {}, KEY)).json["key"] == fork.json["key"]
        other = await api.post(ARCHIVES, {"new": {"title": "Two"}}, KEY)
        assert (other.status, other.kind) == (422, "reused_key")
        assert await count(api) == 2


async def test_what_failed_half_way_is_brought_to_its_end(tmp_path):
    body = {"new": {"title": "One"}, "name": "one"}
    async with running_api(tmp_path) as api:
        room = api.library.services.room
        api.library.services.room = Room(api.folder, clock=lambda: 0.0, max_bytes=0)
        assert (await api.post(ARCHIVES, body, KEY)).kind == "disk_full"
        assert (await api.post(ARCHIVES, body, KEY)).kind == "disk_full"
        api.library.services.room = room
        made = await api.post(ARCHIVES, body, KEY)
        assert made.status == 201
        assert await title(api) == "One"
        assert (await api.post(ARCHIVES, body, KEY)).body == made.body
        assert await count(api) == 1


async def test_what_a_crash_cut_short_is_brought_to_its_end(tmp_path):
    body = {"new": {"title": "One"}, "name": "one"}
    async with running_api(tmp_path) as api:
        # The last thing on the disk is what it made: there is no title and no answer yet.
        api.library.services.room = Room(api.folder, clock=lambda: 0.0, max_bytes=0)
        assert (await api.post(ARCHIVES, body, KEY)).kind == "disk_full"
        [key] = [archive.key.hex for archive in api.library.archives()]
    async with running_api(tmp_path) as api:
        made = await api.post(ARCHIVES, body, KEY)
        assert (made.status, made.json["key"]) == (201, key)
        assert await title(api) == "One"
        assert await count(api) == 1


async def test_a_folder_that_a_crash_cut_short_gets_its_title_and_is_watched(tmp_path):
    folder = tmp_path / "site"
    write(folder / "a.txt", b"a")
    body = {"folder": str(folder), "title": "One", "watch": True, "adopt": "never"}
    (tmp_path / "data").mkdir()

    def noted(key):
        """What such a request writes down with the archive, and the crash leaves."""
        name = json.dumps(["api.token", f"POST {ARCHIVES}", KEY.partition('"')[2][:-1]])
        asked = hashlib.sha256(json.dumps(body).encode()).hexdigest()
        return lambda database: book.save(database, Page(name, asked, key.hex, None))

    async with running_api(tmp_path / "data") as api:
        await api.library.create(name="one", source=folder, watch=True, noted=noted)
    async with running_api(tmp_path / "data") as api:
        made = await api.post(ARCHIVES, body, KEY)
        assert (made.status, await count(api)) == (201, 1)
        assert json.loads((folder / "dat.json").read_text())["title"] == "One"
        ours = api.library.find("one")
        await eventually(lambda: not ours.record.importing)
        assert await title(api) == "One"
        write(folder / "later.txt", b"b")
        later = f"{ARCHIVES}/one/files/later.txt"

        async def published():
            return (await api.ask(later)).status == 200

        await eventually(published, seconds=120)


async def test_what_is_gone_again_is_made_anew(tmp_path):
    body = {"new": {"title": "One"}, "name": "one"}
    async with running_api(tmp_path) as api:
        room = api.library.services.room
        api.library.services.room = Room(api.folder, clock=lambda: 0.0, max_bytes=0)
        assert (await api.post(ARCHIVES, body, KEY)).kind == "disk_full"
        assert (await api.ask(f"{ARCHIVES}/one?force=true", method="DELETE")).status == 204
        api.library.services.room = room
        assert (await api.post(ARCHIVES, body, KEY)).status == 201
        assert await count(api) == 1


async def test_t43_a_slow_body_is_given_up_with_a_key_too(api, monkeypatch):
    monkeypatch.setattr(inputs, "BODY_SECONDS", 0.2)
    lines = [
        f"POST {ARCHIVES} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}", KEY,
        "Content-Type: application/json", "Content-Length: 10", "", "{",
    ]  # fmt: skip
    assert (await api.raw("\r\n".join(lines).encode())).kind == "timeout"


async def test_an_answer_that_is_too_large_to_be_kept_is_made_again(api):
    patterns = [f"/{number}{'x' * 500}" for number in range(40)]
    body = {"link": "ab" * 32, "mode": "sparse", "include": patterns}
    first = await api.post(ARCHIVES, body, KEY)
    again = await api.post(ARCHIVES, body, KEY)
    assert len(first.body) > MAX_BODY
    assert (first.status, again.status, again.json["key"]) == (201, 200, first.json["key"])
    assert await count(api) == 1


@pytest.mark.parametrize("header", ["Idempotency-Key: ", f"Idempotency-Key: {'x' * 300}",
                                    "Idempotency-Key: é"])  # fmt: skip
async def test_an_odd_key_is_refused(api, header):
    assert (await api.post(ARCHIVES, {"new": {}}, header)).kind == "bad_request"
    assert await count(api) == 0


async def test_two_tokens_may_choose_the_same_key(tmp_path):
    async with running_api(tmp_path) as api:
        made = await api.post("/api/v1/tokens", {"name": "other", "scope": "control"})
        assert made.status == 201, made
        assert (await api.post(ARCHIVES, {"new": {}}, KEY)).status == 201
        body = json.dumps({"new": {"title": "x"}}).encode()
        other = await api.ask(
            ARCHIVES, "Content-Type: application/json", KEY,
            method="POST", body=body, token=made.json["token"],
        )  # fmt: skip
        assert other.status == 201
        assert await count(api) == 2


async def nothing(key):
    raise AssertionError(key)


@pytest.fixture
async def counting(tmp_path):
    """A server of its own that says how many it has answered, with a clock for the test."""
    now, done = [0.0], []
    catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
    await catalogue.open()
    replays = Replays(catalogue, clock=lambda: now[0])

    async def answer(request):
        async def work(noted):
            done.append(request)
            return web.Response(body=str(len(done)).encode(), content_type="text/plain")

        return await replays.once(request, work, nothing)

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestClient(TestServer(app)) as client:

        async def ask(key):
            answered = await client.post("/", headers={"Idempotency-Key": key})
            return int(await answered.text())

        yield ask, now
    await catalogue.close()


async def test_an_answer_is_kept_for_a_day(counting):
    ask, now = counting
    assert [await ask("one"), await ask("one")] == [1, 1]
    now[0] = KEPT_SECONDS - 1
    assert await ask("one") == 1
    now[0] = KEPT_SECONDS + 1
    assert await ask("one") == 2


async def test_a_key_that_is_used_again_after_a_day_is_known_after_a_crash(tmp_path):
    now, done = [0.0], []
    full: list[bool] = []

    @contextlib.asynccontextmanager
    async def server():
        catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
        await catalogue.open()
        replays = Replays(catalogue, clock=lambda: now[0])

        async def answer(request):
            async def work(noted):
                done.append("made")
                await catalogue.together(noted(Key(bytes(32))))
                if full:
                    raise web.HTTPInsufficientStorage
                return web.Response(body=b"", content_type="text/plain")

            async def go_on(key):
                done.append("gone on with")
                return web.Response(body=b"", content_type="text/plain")

            return await replays.once(request, work, go_on)

        app = web.Application()
        app.router.add_post("/", answer)
        async with TestClient(TestServer(app)) as client:

            async def ask(key):
                return (await client.post("/", headers={"Idempotency-Key": key})).status

            yield ask
        await catalogue.close()

    async with server() as ask:
        assert await ask("one") == 200
        now[0] = KEPT_SECONDS + 1
        full.append(True)
        assert await ask("one") == 507
        full.clear()
        assert await ask("two") == 200  # what is forgotten is torn out of the book with this one
    async with server() as ask:
        del done[:]
        assert await ask("one") == 200
    assert done == ["gone on with"]


async def test_rule_4_no_more_than_so_many_are_kept(counting):
    ask, _ = counting
    for number in range(MAX_KEPT + 1):
        assert await ask(f"key {number}") == number + 1
    assert await ask(f"key {MAX_KEPT}") == MAX_KEPT + 1
    assert await ask("key 0") == MAX_KEPT + 2
