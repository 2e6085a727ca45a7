import pytest
from tests.helpers.api import running_api

V1 = "/api/v1"
SITE = "https://app.example"
ASKS = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path, settings={"origins": [SITE, "http://localhost:5173"]}) as api:
        yield api


def cors(answer):
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.parametrize("origin", [SITE, "http://localhost:5173"])
async def test_t41_a_named_site_is_told_what_it_may_send(api, origin):
    answer = await api.ask(
        f"{V1}/archives", f"Origin: {origin}", *ASKS, method="OPTIONS", token=None
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == origin
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example",
     "https://app.example:444", "HTTPS://app.example", "https://app.example/", "*"],
)  # fmt: skip
async def test_t41_no_other_origin_is_ever_named(api, origin):
    for method, token in (("OPTIONS", None), ("GET", "token-of-the-test"), ("GET", None)):
        answer = await api.ask(
            f"{V1}/archives", f"Origin: {origin}", *ASKS, method=method, token=token
        )
        assert not cors(answer)
        assert answer.headers["vary"] == "Origin", "a cache must not mix the two up"


async def test_a_named_site_reads_answers_and_errors_and_writes(api):
    headers = (f"Origin: {SITE}", "Sec-Fetch-Site: cross-site")
    for path, status in ((f"{V1}/archives", 200), (f"{V1}/nothing", 404)):
        answer = await api.ask(path, *headers)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == SITE
        assert "ETag" in answer.headers["access-control-expose-headers"]
    answer = await api.post(f"{V1}/archives", {"link": "a" * 64}, *headers)
    assert answer.status == 201
    assert answer.headers["access-control-allow-origin"] == SITE


async def test_a_named_site_needs_a_token_all_the_same(api):
    answer = await api.ask(f"{V1}/archives", f"Origin: {SITE}", token=None)
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == SITE


async def test_t40_other_sites_write_nothing(api):
    for headers in (
        ["Origin: https://evil.example"],
        [f"Origin: {SITE}", "Origin: https://evil.example"],
        ["Sec-Fetch-Site: cross-site"],
    ):
        answer = await api.post(f"{V1}/archives", {"link": "a" * 64}, *headers)
        assert answer.status in (400, 403)
    assert (await api.ask(f"{V1}/archives")).json["archives"] == []


async def test_a_page_of_the_web_may_ask_a_daemon_at_home_if_it_is_named(api):
    private = "Access-Control-Request-Private-Network: true"
    for origin, allowed in ((SITE, True), ("https://evil.example", False)):
        answer = await api.ask(
            f"{V1}/archives", f"Origin: {origin}", *ASKS, private, method="OPTIONS", token=None
        )
        assert ("access-control-allow-private-network" in answer.headers) is allowed
