import pytest
from tests.helpers.api import TOKEN, running_api

from datd.http.attempts import MAX_FAILURES
from datd.http.guard import _bare


@pytest.mark.parametrize(
    ("host", "bare"),
    [
        ("localhost:3472", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:3472", "::1"),
        ("::1", "::1"),
        ("evil.example:80", "evil.example"),
        ("", ""),
    ],
)
def test_hosts_are_compared_without_port(host, bare):
    assert _bare(host) == bare


V1 = "/api/v1"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:3472", "127.0.0.1:1", "[::1]:3472", "localhost.", "127.0.0.1"]
)
async def test_t39_our_own_hosts_are_served(api, host):
    assert (await api.ask(f"{V1}/", host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3472", "localhost.evil.example", "", "x.localhost", "10.0.0.1",
     "localhost@evil.example", "127.0.0.1.evil.example", "127.0.0.2", "\x7f"],
)  # fmt: skip
async def test_t39_every_other_host_is_421(api, host):
    for path in (f"{V1}/", "/healthz", "/nothing"):
        answer = await api.ask(path, host=host)
        assert answer.status in (400, 421)
        if answer.status == 421:
            assert answer.kind == "wrong_host"
            assert "api.hosts" in answer.json["detail"]


async def test_t39_two_hosts_or_none_are_refused(api):
    for headers, host in (((), None), (("Host: localhost",), "localhost"), (("Host: a",), "b")):
        answer = await api.ask(f"{V1}/", *headers, host=host)
        assert (answer.status, answer.kind) == (421, "wrong_host")


async def test_t39_an_old_request_without_host_is_refused(api):
    answer = await api.raw(b"GET /api/v1/ HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n")
    assert answer.status == 421


async def test_t39_further_names_are_a_setting(tmp_path):
    async with running_api(tmp_path, hosts=["seeder.example"]) as api:
        assert (await api.ask(f"{V1}/", host="seeder.example:80")).status == 200
        assert (await api.ask(f"{V1}/", host="www.seeder.example")).status == 421


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x",
     f"Bearer {TOKEN[:-1]}", f"Bearer\t{TOKEN}", "Bearer \u00fc"],
)  # fmt: skip
async def test_t42_without_the_token_it_is_401(api, authorization):
    for path in (f"{V1}/", f"{V1}/archives", "/nothing"):
        answer = await api.ask(path, f"Authorization: {authorization}", token=None)
        assert (answer.status, answer.kind) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_t42_two_tokens_are_none(api):
    assert (await api.ask(f"{V1}/", "Authorization: Bearer wrong")).status in (400, 401)


async def test_t42_who_guesses_waits_and_who_knows_does_not(tmp_path):
    now = 0.0  # all within one minute, however long it takes
    async with running_api(tmp_path, settings={"clock": lambda: now}) as api:
        asked = [await api.ask(f"{V1}/", token="wrong") for _ in range(MAX_FAILURES + 2)]
        assert [one.status for one in asked] == [401] * MAX_FAILURES + [429] * 2
        limited = await api.ask(f"{V1}/", token=None)
        assert limited.kind == "too_many"
        assert (await api.ask(f"{V1}/")).status == 200
        wait = int(limited.headers["retry-after"])
        now = wait - 2.0
        assert (await api.ask(f"{V1}/", token="wrong")).status == 429
        now += wait
        assert (await api.ask(f"{V1}/", token="wrong")).status == 401


@pytest.mark.parametrize("query", [f"token={TOKEN}", "access_token=x", "TOKEN=x", "api_key=x"])
async def test_t42_a_token_in_the_address_is_400(api, query):
    for token in (None, TOKEN):
        answer = await api.ask(f"{V1}/?{query}", token=token)
        assert (answer.status, answer.kind) == (400, "bad_request")
        assert TOKEN not in answer.json["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://evil.example"],
        ["Origin: null"],
        ["Origin: http://localhost:3473"],
        ["Origin: http://x.localhost"],
        ["Origin: http://["],
        ["Origin:"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site"],
        ["Origin: http://localhost", "Origin: http://evil.example"],
    ],
)
async def test_t40_writes_across_sites_are_403(api, headers):
    body = b'{"link": "' + b"a" * 64 + b'"}'
    for unix in (False, True):
        answer = await api.ask(
            f"{V1}/archives", "Content-Type: application/json", *headers,
            method="POST", body=body, unix=unix,
        )  # fmt: skip
        assert answer.status in (400, 403)
        if answer.status == 403:
            assert answer.kind == "forbidden"
    assert (await api.ask(f"{V1}/archives")).json["archives"] == []


async def test_t40_writes_from_our_own_pages_are_not(api):
    headers = ["Origin: http://localhost:3472", "Sec-Fetch-Site: same-origin"]
    answer = await api.ask(f"{V1}/archives/x/pause", *headers, method="POST", host="localhost:3472")
    assert answer.kind == "unknown_archive"


async def test_the_unix_socket_asks_for_neither_host_nor_token(api):
    assert (await api.ask(f"{V1}/", host="d", token=None, unix=True)).status == 200
    assert (await api.ask(f"{V1}/", host="d", token="wrong", unix=True)).status == 200


WELL_KNOWN = "/.well-known/dat"
LINK = "dat://" + "a" * 64


async def ask_for_domain(api, host, path=WELL_KNOWN, method="GET", *headers):
    return await api.ask(path, *headers, host=host, token=None, method=method)


async def test_the_web_may_ask_for_the_archive_of_a_domain_and_for_nothing_else(api):
    await api.post(f"{V1}/archives", {"link": LINK, "domain": "x.example"})
    for host in ("x.example", "X.Example:443", "x.example."):
        answer = await ask_for_domain(api, host)
        assert answer.status == 200
        assert answer.body.startswith(LINK.encode() + b"/\n")
    assert (await ask_for_domain(api, "x.example", method="HEAD")).status == 200
    for path in ("/.well-known/dat/", "/.well-known//dat", "/%2ewell-known/dat", "/",
                 "/.well-known/da%74", "/.well-known/x/../dat", f"{V1}/archives"):  # fmt: skip
        answer = await ask_for_domain(api, "x.example", path)
        assert (answer.status, answer.kind) == (421, "wrong_host")
    for method in ("POST", "PUT", "DELETE"):
        assert (await ask_for_domain(api, "x.example", method=method)).status == 421


async def test_a_domain_that_no_archive_has_is_a_wrong_host(api):
    await api.post(f"{V1}/archives", {"link": LINK, "domain": "x.example"})
    for host in ("y.example", "x.example.evil.example", "", "x.example, y.example"):
        assert (await ask_for_domain(api, host)).status == 421
    await api.post(f"{V1}/archives/aaaaaa/pause", {})
    assert (await ask_for_domain(api, "x.example")).status == 421
