"""Problems that no single request brings about: the daemon is brought into the state for them."""

import asyncio
import ipaddress
import time
from contextlib import asynccontextmanager

import pytest
from tests.helpers.adopted import foreign
from tests.helpers.api import TOKEN, read_answer, running_api
from tests.helpers.daemon import eventually
from tests.helpers.operations.desk import ACCOUNT, LOGIN
from tests.helpers.operations.row import ARCHIVES, NOWHERE, V1, filled, make, nowhere, send
from tests.helpers.small_web import SmallWeb

from datd.books.passwords import MAX_WAITING
from datd.hosting.folders.folder_lock import FolderLock
from datd.hosting.folders.place import bitfields
from datd.hosting.jobs import WAITING
from datd.hosting.telling.webhooks import MAX_WEBHOOKS
from datd.http.inputs import BODY_SECONDS
from datd.keys import Key
from datd.naming.resolver import Names

MEANS_NOTHING, NOBODY_KNOWS = "a.example", "b.example"


@pytest.fixture
async def api(tmp_path):
    (tmp_path / "data").mkdir()
    async with running_api(tmp_path / "data") as running:
        yield running


# ---- names


@asynccontextmanager
async def knowing_names(folder):
    """An API for which one name leads to a host without an archive, and another one nowhere."""

    async def save(known, dropped):
        raise AssertionError(known)

    web = SmallWeb()
    web.addresses[NOBODY_KNOWS] = []
    async with web.serving():
        names = Names(
            known=[], save=save, wall_clock=time.time, choose=lambda below: 0,
            ssl_context=web.trusting, lookup=web, port=web.port,
            allow=[ipaddress.ip_network("127.0.0.0/8")],
        )  # fmt: skip
        async with running_api(folder, names=names) as running:
            yield running
        await names.close()


async def logged_in(api):
    assert (await api.post(f"{V1}/accounts", ACCOUNT)).status == 201
    return (await api.post("/v1/accounts/login", LOGIN)).json["sessionToken"]


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [(MEANS_NOTHING, "unknown_name", 404), (NOBODY_KNOWS, "name_unreachable", 504)],
)
async def test_a_name_that_means_nothing_and_one_that_nobody_knows(tmp_path, name, kind, status):
    async with knowing_names(tmp_path) as api:
        token = await logged_in(api)
        body = f'{{"url": "dat://{name}"}}'.encode()
        head = "Content-Type: application/json"
        for answer in (
            await api.post(ARCHIVES, {"link": f"dat://{name}/"}),
            await api.ask("/v1/dats/add", head, method="POST", body=body, token=token),
            await api.ask("/v1/dats/remove", head, method="POST", body=body, token=token),
        ):
            assert (answer.status, answer.kind) == (status, kind)
            assert name in answer.json["detail"]
        assert (await api.ask(ARCHIVES)).json["archives"] == []


# ---- too much at once


async def test_jobs_that_would_be_too_many_are_refused_and_make_no_archive(api, tmp_path):
    path = await filled(api)
    made = foreign("cli-clone", tmp_path / "folder")
    plain = tmp_path / "plain"
    plain.mkdir()
    published = (await api.post(ARCHIVES, {"folder": str(plain)})).json["key"]
    jobs, ending = api.library.workshop.jobs, asyncio.Event()
    await eventually(lambda: jobs.of(Key.parse(published)) is None)
    ours = api.library.find("ours").key
    waiting = [jobs.start("verify", ours, lambda job: ending.wait(), unit="blocks")
               for _ in range(WAITING)]  # fmt: skip
    before = len(api.library.archives())
    for answer in (
        await send(api, "POST", f"{ARCHIVES}/{published}/verify", {}),
        await send(api, "POST", f"{ARCHIVES}/{published}/rescan", {}),
        await send(api, "POST", f"{path}/adopt", {"folder": str(made.folder)}),
        await send(api, "POST", f"{path}/fork", {}),
        await api.post(ARCHIVES, {"folder": str(made.folder), "adopt": "never"}),
    ):
        assert (answer.status, answer.kind) == (503, "busy")
        assert answer.headers["retry-after"]
    assert len(api.library.archives()) == before
    ending.set()
    await asyncio.gather(*(job.task for job in waiting))
    assert (await send(api, "POST", f"{path}/verify", {})).status == 202


async def test_a_folder_that_another_program_has_open_is_busy(api, tmp_path):
    made = foreign("cli-clone", tmp_path / "folder")
    lock = FolderLock(bitfields(made.folder, "dat"))
    answer = await api.post(ARCHIVES, {"folder": str(made.folder)})
    assert (answer.status, answer.kind) == (503, "busy")
    lock.release()
    assert (await api.post(ARCHIVES, {"folder": str(made.folder)})).status == 201


async def test_webhooks_that_would_be_too_many_are_refused(api):
    async def one_more(number):
        return await api.post(f"{V1}/webhooks", {"url": f"https://192.0.2.7/{number}"})

    answers = await asyncio.gather(*map(one_more, range(MAX_WEBHOOKS + 5)))
    refused = [answer for answer in answers if answer.status != 201]
    assert {(answer.status, answer.kind) for answer in refused} == {(503, "busy")}
    assert len(refused) == 5


async def test_logins_that_would_be_too_many_are_told_to_come_again(api):
    await logged_in(api)
    asked = [api.post("/v1/accounts/login", LOGIN) for _ in range(4 * MAX_WAITING)]
    answers = await asyncio.gather(*asked)
    kinds = {answer.kind for answer in answers if answer.status != 200}
    assert "busy" in kinds
    assert kinds <= {"busy", "too_many"}
    assert any(answer.status == 200 for answer in answers)


# ---- silence


async def test_whoever_is_silent_is_given_up_and_told_so(api):
    """In real time, side by side: what each of them waits for is what a user waits."""
    path = await make(api)
    token = f"Authorization: Bearer {TOKEN}\r\nHost: localhost\r\n"
    json_head = f"Content-Type: application/json\r\nContent-Length: 9\r\n{token}\r\n{{"

    async def silent(beginning):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(beginning.encode())
        answer = await read_answer(reader, False)
        writer.close()
        return answer

    begun = time.monotonic()
    for answer in await asyncio.gather(
        silent("GET /healthz HTTP/1.1\r\n"),
        silent(f"POST {ARCHIVES} HTTP/1.1\r\n{json_head}"),
        silent(f"POST {ARCHIVES} HTTP/1.1\r\nIdempotency-Key: x\r\n{json_head}"),
        silent(f"PATCH {path} HTTP/1.1\r\n{json_head}"),
        silent(f"POST {path}/pause HTTP/1.1\r\n{json_head}"),
    ):
        assert (answer.status, answer.kind) == (408, "timeout")
    assert time.monotonic() - begun >= BODY_SECONDS - 1


# ---- faults of ours


async def test_what_should_not_happen_is_a_problem_too_and_tells_nothing(api, caplog):
    path = await nowhere(api)
    # A part that is gone while others are still there, as a fault in the order of an end would be.
    # One that nobody else uses: what happens beside this request must not meet it.
    archive = api.library.find(NOWHERE)
    book = archive._book
    archive._book = None
    answer = await send(api, "POST", f"{path}/pause", {})
    archive._book = book
    assert (answer.status, answer.kind) == (500, "internal")
    assert "change" not in answer.json["detail"]
    [said] = [one for one in caplog.records if one.name == "datd.http.problems"]
    assert NOWHERE not in said.getMessage()
    assert (await send(api, "POST", f"{path}/pause", {})).status == 200
