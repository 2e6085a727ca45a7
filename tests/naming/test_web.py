import asyncio
import socket
import ssl
from ipaddress import ip_network

import pytest
from tests.helpers.small_web import Reply
from yarl import URL

from datd.errors import WebError
from datd.naming.web import MAX_REDIRECTS, MAX_REQUESTS, Web

LOOPBACK = [ip_network("127.0.0.0/8")]
PAGE = URL("https://a.example/page")


@pytest.fixture
async def web(small_web):
    """A way out that may ask loopback."""
    out = Web(
        allow=LOOPBACK, ssl_context=small_web.trusting, resolver=small_web, port=small_web.port
    )
    yield out
    await out.close()


@pytest.fixture
async def careful_web(small_web):
    """The same as users have it: loopback is closed."""
    out = Web(ssl_context=small_web.trusting, resolver=small_web, port=small_web.port)
    yield out
    await out.close()


async def get(web: Web, url: URL | str = PAGE, **options):
    given = {"seconds": 120.0, "limit": 4096, **options}
    return await web.get(URL(url), **given)


async def test_a_page_is_fetched_whole(web, small_web):
    small_web.put("a.example", Reply(b"x" * 4096, 203), "/page")
    page = await get(web)
    assert (page.status, page.body) == (203, b"x" * 4096)


async def test_l27_a_page_above_the_limit_is_an_error(web, small_web):
    small_web.put("a.example", Reply(b"x" * 4097), "/page")
    with pytest.raises(WebError, match="more than 4096 bytes"):
        await get(web)


async def test_l27_of_a_long_page_the_beginning_can_be_enough(web, small_web):
    small_web.put("a.example", Reply(b"x" * 100_000, headers={"X-Key": "1"}), "/page")
    page = await get(web, whole=False)
    assert (page.body, page.headers["x-key"]) == (b"x" * 4096, "1")


async def test_t49_nothing_of_ours_goes_along(web, small_web, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", __file__)
    small_web.put("a.example", Reply("1", headers={"Set-Cookie": "a=b; Domain=example"}), "/page")
    for _ in range(2):
        await get(web, headers={"Accept": "x/y"})
    for request in small_web.requests:
        assert request.headers["Accept"] == "x/y"
        assert request.headers["Accept-Encoding"] == "identity"
        assert not {"Cookie", "Authorization", "Referer"} & set(request.headers)
        assert request.headers["User-Agent"] == "datd"


async def test_t49_compressed_bytes_are_not_unpacked(web, small_web):
    small_web.put("a.example", Reply(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), "/page")
    with pytest.raises(WebError, match="compressed"):
        await get(web)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["10.0.0.1", "192.168.0.1"], ["169.254.169.254"],
     ["::ffff:127.0.0.1"], ["0.0.0.0"]],
)  # fmt: skip
async def test_t49_names_that_lead_inside_are_not_asked(careful_web, small_web, addresses):
    small_web.addresses["a.example"] = addresses
    with pytest.raises(WebError, match="no public address"):
        await get(careful_web)
    assert small_web.lookups == ["a.example"]
    assert small_web.requests == []


async def test_t49_of_several_addresses_only_the_open_ones_are_dialled(web, small_web):
    small_web.addresses["a.example"] = ["10.0.0.1", "::1", "127.0.0.1"]
    small_web.put("a.example", Reply("1"), "/page")
    assert (await get(web)).body == b"1"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "127.1", "2130706433", "127.0.0.1.", "[::ffff:127.0.0.1]", "0",
     "[fe80::1%25lo]"],
)  # fmt: skip
async def test_t49_addresses_in_digits_are_looked_at_too(careful_web, small_web, host):
    with pytest.raises(WebError):
        await get(careful_web, f"https://{host}:{small_web.port}/page")
    assert small_web.requests == []


async def test_t49_a_redirect_inside_is_not_followed(small_web):
    # One network is open, so that the first request can be made; the second leads elsewhere.
    out = Web(
        allow=[ip_network("127.0.0.1/32")],
        ssl_context=small_web.trusting,
        resolver=small_web,
        port=small_web.port,
    )
    small_web.addresses["b.example"] = ["127.0.0.2"]
    for target in ("https://b.example/page", f"https://127.0.0.2:{small_web.port}/page"):
        small_web.put("a.example", Reply(status=302, headers={"Location": target}), "/page")
        with pytest.raises(WebError, match=r"127\.0\.0\.2 is no public address"):
            await get(out)
    await out.close()


async def test_l27_redirects_are_followed_three_times(web, small_web):
    def to(target: str, status: int) -> Reply:
        return Reply(status=status, headers={"Location": target})

    small_web.put("a.example", to("/1#part", 301), "/0")
    small_web.put("a.example", to("https://b.example/2", 308), "/1")
    small_web.put("b.example", to("3", 303), "/2")
    small_web.put("b.example", Reply("there"), "/3")
    assert (await get(web, "https://a.example/0")).body == b"there"
    assert small_web.asked() == ["a.example/0", "a.example/1", "b.example/2", "b.example/3"]
    small_web.put("b.example", to("/4", 307), "/3")
    with pytest.raises(WebError, match="only sends elsewhere"):
        await get(web, "https://a.example/0")
    assert len(small_web.requests) == 2 * (MAX_REDIRECTS + 1)


@pytest.mark.parametrize(
    "target",
    ["http://b.example/", "file:///etc/passwd", "ftp://b.example/", "https://u:p@b.example/",
     "//u@b.example/", "https://[::1", "https://b.example:99999/", "javascript:0"],
)  # fmt: skip
async def test_t49_redirects_stay_within_https(web, small_web, target):
    small_web.put("a.example", Reply(status=302, headers={"Location": target}), "/page")
    with pytest.raises(WebError):
        await get(web)
    assert small_web.asked() == ["a.example/page"]


async def test_a_redirect_without_a_target_is_the_page(web, small_web):
    small_web.put("a.example", Reply("x", status=304), "/page")
    small_web.put("a.example", Reply("x", status=302), "/other")
    assert (await get(web, "https://a.example/other")).status == 302


async def test_who_cannot_prove_its_name_is_not_believed(small_web):
    out = Web(allow=LOOPBACK, resolver=small_web, port=small_web.port)
    with pytest.raises(WebError, match="certificate"):
        await get(out)
    await out.close()
    out = Web(
        allow=LOOPBACK, ssl_context=small_web.trusting, resolver=small_web, port=small_web.port
    )
    with pytest.raises(WebError, match="certificate"):
        await get(out, "https://a.other/page")
    await out.close()
    assert small_web.requests == []


async def test_a_host_that_nobody_knows_or_that_is_closed(web, small_web):
    small_web.addresses["none.example"] = []
    with pytest.raises(WebError, match=r"none\.example cannot be asked"):
        await get(web, "https://none.example/page")
    with pytest.raises(WebError, match=r"a\.example cannot be asked: Connection refused"):
        await get(web, "https://a.example:1/page")


async def test_a_host_that_is_silent_is_given_up():
    # Connections wait in its queue, and nobody ever takes them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        out = Web(allow=LOOPBACK, ssl_context=ssl.create_default_context())
        with pytest.raises(WebError, match="in time"):
            await get(out, f"https://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.2)
        await out.close()


async def test_l27_four_requests_are_under_way_at_once(web, small_web):
    for number in range(3 * MAX_REQUESTS):
        small_web.put("a.example", Reply("1"), f"/{number}")
    # Nobody is answered before as many as may be under way have come.
    small_web.together = asyncio.Barrier(MAX_REQUESTS)
    async with asyncio.TaskGroup() as group:
        for number in range(3 * MAX_REQUESTS):
            group.create_task(get(web, f"https://a.example/{number}"))
    assert small_web.most_at_once == MAX_REQUESTS
    assert len(small_web.requests) == 3 * MAX_REQUESTS


async def test_what_was_closed_can_be_used_again(web, small_web):
    small_web.put("a.example", Reply("1"), "/page")
    await get(web)
    await web.close()
    assert (await get(web)).body == b"1"


async def test_something_is_sent_and_nothing_of_the_answer_is_read(web, small_web):
    small_web.put("a.example", Reply(b"x" * 10**6, 202, {"Content-Encoding": "gzip"}), "/page")
    page = await web.post(PAGE, b"body", {"X-Key": "1"}, seconds=120)
    assert (page.status, page.body) == (202, b"")
    (request,) = small_web.requests
    assert (request.method, request.headers["X-Key"]) == ("POST", "1")
    assert not {"Cookie", "Authorization", "Referer"} & set(request.headers)


async def test_t49_what_is_sent_goes_nowhere_else(web, small_web):
    small_web.put("a.example", Reply(status=307, headers={"Location": "/other"}), "/page")
    assert (await web.post(PAGE, b"", {}, seconds=120)).status == 307
    assert small_web.asked() == ["a.example/page"]


async def test_t49_nothing_is_sent_inside(careful_web, small_web):
    with pytest.raises(WebError, match=r"no public address, see naming\.allow_networks"):
        await careful_web.post(PAGE.with_port(small_web.port), b"", {}, seconds=120)
    assert small_web.requests == []


@pytest.mark.parametrize("url", ["http://a.example/", "https://u:p@a.example/", "file:///x"])
async def test_t49_nothing_is_sent_in_the_clear_unless_that_is_allowed(web, small_web, url):
    with pytest.raises(WebError):
        await web.post(URL(url), b"", {}, seconds=120)
    plain = Web(resolver=small_web, plain=True, setting="webhooks.allow_networks")
    if URL(url).host:
        with pytest.raises(WebError, match=r"webhooks\.allow_networks"):
            await plain.post(URL(url).with_user(None), b"", {}, seconds=120)
    await plain.close()
    assert small_web.requests == []
