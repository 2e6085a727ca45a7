import asyncio
import gzip
import socket

import pytest
from aiohttp import web
from tests.helpers.sites import LOOPBACK, Site
from yarl import URL

from datd.errors import WebError
from datd.hosting.web.client import MAX_REQUESTS, NotThere, WebClient, WebHost
from datd.transport.bandwidth import Limit
from datd.transport.bucket import Account


@pytest.fixture
async def site(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    async with Site(tmp_path).serving() as served:
        yield served


@pytest.fixture
async def host():
    client = WebClient(allow=(LOOPBACK,))
    yield WebHost(client)
    await client.close()


def url_of(site: Site, name: str = "file") -> URL:
    return URL(site.url) / name


async def test_parts_come_as_asked(site, host):
    assert await host.read(url_of(site), 10, 20) == bytes(range(10, 20))
    assert await host.read(url_of(site), 90, 200) == bytes(range(90, 100))
    assert (await host.look(url_of(site))).size == 100


async def test_what_is_not_there_is_told_from_what_fails(site, host):
    with pytest.raises(NotThere):
        await host.read(url_of(site, "other"), 0, 1)
    with pytest.raises(NotThere):
        await host.read(url_of(site), 500, 600)


async def test_a_closed_port_is_told_in_the_words_of_the_system(host):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can meanwhile
    with sock, pytest.raises(WebError, match=r"cannot be asked: Connection refused$"):
        await host.read(URL(f"http://127.0.0.1:{sock.getsockname()[1]}/file"), 0, 1)


async def test_a_whole_file_is_cut_and_kept(site, host):
    site.ranges = False
    assert await host.read(url_of(site), 10, 20) == bytes(range(10, 20))
    assert await host.read(url_of(site), 30, 40) == bytes(range(30, 40))
    assert len(site.asked) == 1
    host.forget()
    await host.read(url_of(site), 30, 40)
    assert len(site.asked) == 2


def says(**how):
    async def answer(_):
        return web.Response(**how)

    return answer


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"status": 206, "body": b"x" * 10}, "another part"),
        ({"status": 206, "body": b"x" * 9, "headers": {"Content-Range": "bytes 0-9/9"}}, "ended"),
        (
            {"status": 206, "body": b"x" * 5, "headers": {"Content-Range": "bytes 5-9/10"}},
            "another part",
        ),
        ({"status": 500}, "status 500"),
        ({"status": 302, "headers": {"Location": "ftp://example.org/"}}, "not followed"),
        ({"status": 302, "headers": {"Location": "https://127.0.0.1/"}}, "not followed"),
        ({"status": 302, "headers": {"Location": "/again"}}, "only sends elsewhere"),
        (
            {
                "status": 206,
                "body": gzip.compress(bytes(10**6)),
                "headers": {"Content-Encoding": "gzip", "Content-Range": "bytes 0-9/10"},
            },
            "compressed",
        ),
    ],
)
async def test_L_27_hostile_answers_are_errors(site, host, how, why):
    site.answer = says(**how)
    if why == "ended":
        how["headers"]["Content-Range"] = "bytes 0-8/9"
        assert await host.read(url_of(site), 0, 10) == b"x" * 9
        return
    with pytest.raises(WebError, match=why):
        await host.read(url_of(site), 0, 10)


async def test_a_body_without_end_is_left(site, host):
    async def endless(request):
        response = web.StreamResponse(status=206, headers={"Content-Range": "bytes 0-9/10"})
        await response.prepare(request)
        while True:
            await response.write(bytes(1000))

    site.answer = endless
    with pytest.raises(WebError, match="more than 10 bytes"):
        await host.read(url_of(site), 0, 10)
    assert host.received < 1_000_000


async def test_a_body_that_drips_is_left(site):
    client = WebClient(allow=(LOOPBACK,))
    host = WebHost(client, seconds=3)

    async def dripping(request):
        response = web.StreamResponse(status=206, headers={"Content-Range": "bytes 0-99/100"})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    site.answer = dripping
    with pytest.raises(WebError, match="in time"):
        await host.read(url_of(site), 0, 100)
    await client.close()
    assert 0 < host.received < 100


async def test_whole_files_are_held_one_at_a_time(site, host):
    site.ranges = False
    for name in "abcd":
        (site.folder / name).write_bytes(name.encode() * 100)
    parts = await asyncio.gather(*(host.read(url_of(site, name), 1, 3) for name in "abcdabcd"))
    assert parts == [b"aa", b"bb", b"cc", b"dd"] * 2


async def test_a_server_that_refuses_head_is_asked_for_a_byte(site, host):
    async def no_head(request):
        return web.Response(status=405) if request.method == "HEAD" else await site.file(request)

    site.answer = no_head
    assert (await host.look(url_of(site))).size == 100
    assert [method for method, _, _ in site.asked] == ["HEAD", "GET"]


async def test_T_49_redirects_to_private_addresses_are_not_followed(site):
    client = WebClient()
    try:
        with pytest.raises(WebError, match=r"web\.allow_networks"):
            await WebHost(client).read(url_of(site), 0, 10)
    finally:
        await client.close()
    assert not site.asked


async def test_L_27_four_requests_at_once(site, host):
    at_once = most = 0
    all_are_here = asyncio.Event()

    async def answer(request):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == MAX_REQUESTS:
            all_are_here.set()
        await all_are_here.wait()
        await asyncio.sleep(0.02)  # for one more, if there was one
        at_once -= 1
        return await site.file(request)

    site.answer = answer
    await asyncio.gather(*(host.read(url_of(site), n, n + 1) for n in range(12)))
    assert most == MAX_REQUESTS


async def test_what_came_is_owed_also_after_the_end(site):
    limit = Limit()
    limit.set(16_000)
    client = WebClient(allow=(LOOPBACK,))
    host = WebHost(client, limit=limit)
    limit.owe(Account(lambda: None), 10**6)
    assert len(await host.read(url_of(site), 0, 100)) == 100
    assert host.account.owed == 100
    host.close()
    # Those who are gone have an account of their own.
    assert (host.account.owed, limit.waiting) == (0, 2)
    await client.close()
