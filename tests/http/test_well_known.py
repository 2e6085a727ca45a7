import pytest

from datd.http.well_known import PATH
from datd.keys import Key
from datd.naming.records import DEFAULT_TTL, parse_well_known

KEY = Key(bytes(range(32)))
DOMAIN = "dat.example.org"


@pytest.fixture
async def named(api):
    """An API that hosts an archive with a domain."""
    await api.library.add(KEY, domain=DOMAIN)
    return api


@pytest.mark.parametrize(
    "host", [DOMAIN, "DAT.example.ORG", f"{DOMAIN}:443", f"{DOMAIN}:3472", f"{DOMAIN}."]
)
async def test_a_domain_names_its_archive_to_everybody(named, host):
    answer = await named.ask(PATH, host=host, token=None)
    assert answer.status == 200
    assert answer.body == f"dat://{KEY.hex}/\nTTL=3600\n".encode()
    assert parse_well_known(answer.body) == (KEY, DEFAULT_TTL)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "max-age=3600"


async def test_a_browser_on_any_page_may_ask(named):
    headers = ("Origin: https://elsewhere.example", "Sec-Fetch-Site: cross-site")
    answer = await named.ask(PATH, *headers, host=DOMAIN, token=None)
    assert answer.status == 200
    assert "access-control-allow-credentials" not in answer.headers


async def test_the_head_alone_can_be_asked_for(named):
    answer = await named.ask(PATH, host=DOMAIN, token=None, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("host", ["example.org", f"x.{DOMAIN}", f"{DOMAIN}.evil.example", "", "["])
async def test_t39_other_hosts_are_still_421(named, host):
    assert (await named.ask(PATH, host=host, token=None)).status in (400, 421)


async def test_t39_a_domain_opens_this_one_path(named):
    for path in ("/api/v1/", "/api/v1/archives", "/healthz", f"{PATH}/", "/.well-known/dat2",
                 "/.well-known/../api/v1/", "//.well-known/dat", "/.well%2Dknown/dat"):  # fmt: skip
        answer = await named.ask(path, host=DOMAIN)
        assert answer.status == 421, path
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await named.ask(PATH, host=DOMAIN, token=None, method=method)).status == 421


async def test_where_no_domain_is_named_there_is_nothing(named):
    answer = await named.ask(PATH)
    assert (answer.status, answer.kind) == (404, "no_such_route")


async def test_t4_a_paused_archive_is_not_named(named):
    archive = named.library.find(KEY.hex)
    await archive.pause()
    assert (await named.ask(PATH, host=DOMAIN, token=None)).status == 421
    await archive.resume()
    assert (await named.ask(PATH, host=DOMAIN, token=None)).status == 200


async def test_an_archive_that_is_gone_is_not_named(named):
    await named.library.remove(named.library.find(KEY.hex))
    assert (await named.ask(PATH, host=DOMAIN, token=None)).status == 421
