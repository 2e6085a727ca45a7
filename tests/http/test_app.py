import json

import pytest
from tests.helpers.api import TOKEN
from tests.helpers.daemon import eventually

V1 = "/api/v1"
LINK = "dat://" + "ab" * 32


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v2/", f"{V1}/nothing", f"{V1}/archives/", "//"]
)
async def test_an_address_with_nothing_there_is_a_problem(api, path):
    answer = await api.ask(path)
    assert (answer.status, answer.kind) == (404, "no_such_route")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{V1}/archives", "GET, HEAD, OPTIONS, POST"),
        ("PUT", f"{V1}/archives/x", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", f"{V1}/archives/x/pause", "OPTIONS, POST"),
        ("POST", f"{V1}/stats", "GET, HEAD, OPTIONS"),
        ("POST", f"{V1}/archives/x/files/a", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("TRACE", f"{V1}/stats", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_method_that_is_not_possible_is_a_problem(api, method, path, allowed):
    answer = await api.ask(path, method=method)
    assert (answer.status, answer.kind) == (405, "method")
    assert answer.headers["allow"] == allowed


async def test_options_says_what_is_possible(api):
    answer = await api.ask(f"{V1}/archives/x", method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert (await api.ask(f"{V1}/nothing", method="OPTIONS")).kind == "no_such_route"
    assert (await api.ask(f"{V1}/archives", method="OPTIONS", token=None)).status == 401


async def test_nothing_but_100_continue_can_be_expected(api):
    answer = await api.ask(f"{V1}/stats", "Expect: the-moon")
    assert (answer.status, answer.kind) == (417, "expectation")
    assert (await api.ask(f"{V1}/stats", "Expect: 100-continue")).status in (100, 200)


async def test_every_answer_is_kept_from_guessing_and_storing(api):
    for path in (f"{V1}/", f"{V1}/nothing", f"{V1}/archives"):
        headers = (await api.ask(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["server"] == "datd"


async def test_t41_there_are_no_cors_headers(api):
    for method in ("GET", "OPTIONS"):
        answer = await api.ask(
            f"{V1}/archives",
            "Origin: http://localhost:9",
            "Access-Control-Request-Method: POST",
            method=method,
        )
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_t40_no_get_changes_anything(api):
    hosted = await api.host("archival-nested", name="n", tags=["t"])

    async def state():
        archive = (await api.ask(hosted.path)).json
        return {name: archive[name] for name in ("name", "tags", "state", "mode", "version")}

    async def complete():
        return (await state())["state"] == "seeding"

    await api.ask(f"{hosted.path}/files/a.txt")
    await eventually(complete)
    before = await state()
    for path in ("", "/stats", "/peers", "/files/", "/files/a.txt", "/pause", "/resume"):
        await api.ask(hosted.path + path)
    assert await state() == before


@pytest.mark.parametrize(
    "query",
    ["x=1", "limit=1&limit=2", "stat=error", "limit=0", "limit=1001", "limit=x", "state=lost",
     "sort=color", "cursor=x", "q=" + "x" * 201],
)  # fmt: skip
async def test_l24_odd_queries_are_bad_requests(api, query):
    answer = await api.ask(f"{V1}/archives?{query}")
    assert (answer.status, answer.kind) == (400, "bad_request")


async def test_t50_the_token_is_in_no_answer(api):
    for path in ("/", f"{V1}/", f"{V1}/stats", f"{V1}/archives/{TOKEN}x"):
        answer = await api.ask(path)
        if TOKEN not in path:
            assert TOKEN.encode() not in answer.body + json.dumps(answer.headers).encode()
