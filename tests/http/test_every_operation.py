"""Every operation, and every error that its document names, is reached, and is as it says.

What all operations have in common (no token, a foreign Host, a body of another kind, …) is asked of
each of them here. For the rest there is a row in `tests/helpers/operations`: a new operation needs
one for each status of its `answers` and each of its own `errors`. Write a function that takes a
fresh `RunningApi`, does what has to be done before, asks, and gives the answer; put
`Row(operationId, status or kind, function)` into a list there, and that list into `ROWS`.
"""

import asyncio
import time

import pytest
from jsonschema import Draft202012Validator
from tests.helpers.api import TOKEN, running_api
from tests.helpers.operations import failing
from tests.helpers.operations.archives import ARCHIVE_ROWS
from tests.helpers.operations.desk import DESK_ROWS
from tests.helpers.operations.events import EVENT_ROWS
from tests.helpers.operations.files import FILE_ROWS
from tests.helpers.operations.row import ARCHIVES, JSON, NOWHERE

from datd.http.attempts import MAX_FAILURES

ROWS = [*ARCHIVE_ROWS, *DESK_ROWS, *EVENT_ROWS, *FILE_ROWS]

COMMON = {
    "bad_request", "unauthorized", "forbidden", "unknown_archive", "too_large", "uri_too_long",
    "media_type", "wrong_host", "too_many", "headers",
}  # fmt: skip
# Problems that are the same wherever they come from, and where they are provoked.
ELSEWHERE = {
    "timeout": "test_provoked_problems",
    "internal": "test_provoked_problems",
    "busy": "test_provoked_problems; test_listener: all connections in use",
    "damaged": "below: test_each_that_writes_says_what_the_disk_refuses; rows for what is read",
    "read_only": "below, too",
    "disk_full": "below, too; a row for files",
    "unknown_name": "test_provoked_problems",
    "name_unreachable": "test_provoked_problems",
}
# What these write lies elsewhere than in the catalogue: tests of hosting.
OTHER_FILES = {"put_file", "remove_file", "put_secret_key"}
# Operations that have no row, as nothing of theirs is one answer to one request.
OTHER_ROOMS = {"replicate_archive": "a stream after its first answer: test_websocket"}


# Asked by machines that put something behind the question mark, as of right.
LENIENT = {"get_health", "get_readiness", "get_archive_of_domain"}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    async def ask():
        async with running_api(tmp_path_factory.mktemp("daemon")) as api:
            return (await api.ask("/api/v1/openapi.json")).json

    return asyncio.run(ask())


def operations(document):
    """Path, method and description of each, by name."""
    return {
        one["operationId"]: (path, method.upper(), one)
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    }


def kinds(document, one):
    """Problems that an operation names."""
    for answer in one["responses"].values():
        if "$ref" in answer:
            answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        problem = answer.get("content", {}).get("application/problem+json")
        for kind in problem["schema"]["properties"]["type"]["enum"] if problem else ():
            yield kind.rpartition("/")[2]


def check(document, name, answer):
    """Whether an answer is as the document says."""
    path, method, one = operations(document)[name]
    status = str(answer.status)
    assert status in one["responses"], (name, answer)
    where = ["paths", path, method.lower(), "responses", status]
    told = one["responses"][status]
    if "$ref" in told:
        where = told["$ref"].split("/")[1:]
        told = document["components"]["responses"][where[-1]]
    content = told.get("content", {})
    if not content:
        assert answer.body == b"", (name, answer)
        return
    given = answer.headers["content-type"].partition(";")[0]
    kind = given if given in content else "*/*"
    assert kind in content, (name, given)
    if given.endswith("json") and "schema" in content[kind]:
        pointer = "/".join(
            part.replace("~", "~0").replace("/", "~1") for part in [*where, "content", kind]
        )
        Draft202012Validator(document | {"$ref": f"#/{pointer}/schema"}).validate(answer.json)


def test_every_answer_has_a_row(document):
    rows = {(row.operation, str(row.outcome)) for row in ROWS}
    assert len(rows) == len(ROWS)
    missing = []
    for name, (_, _, one) in operations(document).items():
        if name in OTHER_ROOMS and not any(name == row.operation for row in ROWS):
            continue
        outcomes = {status for status in one["responses"] if int(status) < 400}
        outcomes |= set(kinds(document, one)) - COMMON - ELSEWHERE.keys()
        missing += [(name, outcome) for outcome in outcomes if (name, outcome) not in rows]
    assert not missing, f"{missing}: how to add rows stands at the top of this file"


def test_no_row_is_for_what_nobody_names(document):
    names = operations(document)
    for row in ROWS:
        path, _, one = names[row.operation]
        named = {*one["responses"], *kinds(document, one)}
        assert str(row.outcome) in named, (path, row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.operation}-{row.outcome}")
async def test_what_is_named_is_answered(api, document, row):
    answer = await row.ask(api)
    found = answer.status if isinstance(row.outcome, int) else answer.kind
    assert found == row.outcome, answer
    check(document, row.operation, answer)


@pytest.mark.parametrize("refuse", [failing.read_only, failing.damaged, failing.disk_full])
async def test_each_that_writes_says_what_the_disk_refuses(tmp_path, document, refuse):
    kind, asked = refuse.__name__, 0
    for row in {
        row.operation: row for row in reversed(ROWS) if row.outcome in (200, 201, 204)
    }.values():
        path, method, one = operations(document)[row.operation]
        named = kind in kinds(document, one) and row.operation not in OTHER_FILES
        if method == "GET":
            continue
        folder = tmp_path / row.operation / "data"
        folder.mkdir(parents=True)
        async with running_api(folder) as api:
            broken = failing.FailingApi(**vars(api), method=method, path=path, refuse=refuse)
            answer = await row.ask(broken)
            await broken.make(failing.mended)
            assert (answer.status >= 400) == named, (row, answer)
            if named:
                assert answer.kind == kind, (row, answer)
                check(document, row.operation, answer)
                asked += 1
    assert asked > 15


async def test_who_may_register_is_answered_as_is_said(tmp_path):
    """The only operation that is there only if a setting says so."""
    async with running_api(tmp_path, settings={"registration": True}) as api:
        document = (await api.ask("/api/v1/openapi.json")).json
        asked = {"username": "eve", "email": "eve@a.example", "password": "a long password"}
        made = await api.post("/v1/accounts/register", asked)
        assert made.status == 201
        again = await api.post("/v1/accounts/register", asked)
        assert again.kind == "exists"
        for answer in (made, again):
            check(document, "register_account", answer)


# ---- what they have in common


@pytest.fixture
async def patient(tmp_path):
    """An API whose clock runs so fast that it forgets wrong tokens; an archive is hosted there."""
    async with running_api(tmp_path, settings={"clock": lambda: time.monotonic() * 1e6}) as api:
        await api.post(ARCHIVES, {"link": NOWHERE})
        yield api


async def each(api, kind, ask, *, only=lambda one: True):
    """Ask all operations what each must answer with that problem.

    Args:
        api: Which.
        kind: Of the problem.
        ask: Is given the API, method and address, and gives the answer.
        only: Chooses operations by their description in the document.
    """
    document = (await api.ask("/api/v1/openapi.json")).json
    count = 0
    for name, (path, method, one) in operations(document).items():
        if not only(one):
            continue
        assert kind in kinds(document, one), name
        target = path.replace("{key}", NOWHERE).replace("{", "").replace("}", "")
        answer = await ask(api, method, target)
        assert answer.kind == kind, (name, answer)
        check(document, name, answer)
        count += 1
    assert count


def guarded(one):
    return bool(one["security"])


def takes_json(one):
    return "application/json" in one.get("requestBody", {}).get("content", {})


def is_pinning(one):
    return {"token": ["account"]} in one["security"]


async def test_each_wants_a_token(patient):
    async def ask(api, method, target):
        return await api.ask(target, method=method, token=None)

    await each(patient, "unauthorized", ask, only=guarded)


async def test_each_wants_a_token_that_may(patient):
    await patient.desk.accounts.add("someone", "a long password", max_bytes=0, max_pins=0)
    login = {"username": "someone", "password": "a long password"}
    session = (await patient.post("/v1/accounts/login", login)).json["sessionToken"]

    async def ask(api, method, target):
        token = TOKEN if target.startswith("/v1/") else session
        return await api.ask(target, method=method, token=token)

    await each(patient, "forbidden", ask, only=guarded)


async def test_each_knows_its_names(patient):
    async def ask(api, method, target):
        return await api.ask(target, method=method, host="evil.example")

    await each(patient, "wrong_host", ask)


async def test_t42_each_stops_who_tries_on(tmp_path):
    async def ask(api, method, target):
        answer = await api.ask(target, method=method, token="wrong")
        assert int(answer.headers["retry-after"]) > 0
        return answer

    # All within one minute, however long it takes to ask them all.
    async with running_api(tmp_path, settings={"clock": lambda: 0.0}) as api:
        for _ in range(MAX_FAILURES):
            assert (await api.ask("/api/v1", token="wrong")).kind == "unauthorized"
        await each(api, "too_many", ask, only=guarded)


async def test_each_refuses_what_is_too_long(patient):
    async def address(api, method, target):
        return await api.ask(f"{target}?{'x' * 20_000}", method=method)

    async def headers(api, method, target):
        return await api.ask(target, *(f"X-{n}: {'x' * 1000}" for n in range(30)), method=method)

    await each(patient, "uri_too_long", address)
    await each(patient, "headers", headers)


async def test_each_refuses_parameters_that_it_does_not_know(patient):
    async def ask(api, method, target):
        return await api.ask(f"{target}?surprise=1", method=method)

    def strict(one):
        return one["operationId"] not in LENIENT and not is_pinning(one)

    await each(patient, "bad_request", ask, only=strict)


async def test_each_that_takes_json_refuses_other_bodies(patient):
    async def text(api, method, target):
        return await api.ask(target, "Content-Type: text/plain", method=method, body=b"{}")

    async def large(api, method, target):
        return await api.ask(target, JSON, method=method, body=b" " * 2**20 + b"{}")

    def may(one):
        named = {part["name"] for part in one["parameters"] if part["in"] == "path"}
        # Others look first whether there is what the address names.
        return takes_json(one) and not is_pinning(one) and named <= {"key"}

    await each(patient, "media_type", text, only=may)
    await each(patient, "too_large", large, only=may)


async def test_each_about_an_archive_knows_when_there_is_none(patient):
    document = (await patient.ask("/api/v1/openapi.json")).json
    for name, (path, method, one) in operations(document).items():
        if not path.startswith(f"{ARCHIVES}/{{key}}"):
            continue
        target = path.replace("{key}", "ef" * 32).replace("{", "").replace("}", "")
        body = b"{}" if takes_json(one) else b""
        query = "".join(
            f"?{p['name']}=1" for p in one["parameters"] if p["in"] == "query" and p.get("required")
        )
        answer = await patient.ask(target + query, JSON, method=method, body=body)
        assert answer.kind == "unknown_archive", (name, answer)
