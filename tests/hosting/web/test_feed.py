import pytest
from tests.helpers.libraries import source
from tests.helpers.sites import LOOPBACK, Site, put
from yarl import URL

from datd.errors import WebError
from datd.hosting.web.client import WebClient, WebHost
from datd.hosting.web.feed import WebFeed

MADE = source()


@pytest.fixture
async def site(tmp_path):
    put(MADE, tmp_path / "site", plain=False)
    async with Site(tmp_path / "site").serving() as served:
        yield served


@pytest.fixture
async def feed(site):
    client = WebClient(allow=(LOOPBACK,))
    yield WebFeed(WebHost(client), URL(site.url), "content", MADE.content.key)
    await client.close()


def change(site: Site, name: str, at: int, to: bytes) -> None:
    file = site.folder / ".dat" / name
    data = bytearray(file.read_bytes())
    data[at : at + len(to)] = to
    file.write_bytes(data)


async def test_blocks_come_with_proofs_that_hold(feed):
    assert await feed.refresh()
    assert feed.length == 32
    good, lost = await feed.fetch(range(3, 20))
    assert good == {n: MADE.content.get(n) for n in range(3, 20)}
    assert lost == []
    for block in good:
        assert await feed.proof(block, 0) == MADE.content.proof(block, digest=0)


async def test_a_byte_is_found_in_its_block(feed):
    await feed.refresh()
    assert await feed.resolve(MADE.content.block_offset(20) + 1) == 20


async def test_what_did_not_change_is_not_looked_at_again(feed, site):
    await feed.refresh()
    before = len(site.asked)
    assert not await feed.refresh()
    assert len(site.asked) == before + 1


async def test_without_a_bitfield_all_may_be_there(feed, site):
    (site.folder / ".dat" / "content.bitfield").unlink()
    await feed.refresh()
    assert (await feed.have(0, 2**20)).count() == 32


async def test_T_31_signatures_that_do_not_hold_are_nobodys(feed, site):
    size = (site.folder / ".dat" / "content.signatures").stat().st_size
    for at in range(32, size, 64):
        change(site, "content.signatures", at, b"\xff" * 64)
    with pytest.raises(WebError, match="no signature"):
        await feed.refresh()


async def test_a_tree_that_lies_about_roots_is_refused(feed, site):
    change(site, "content.tree", 32 + 40 * 31, b"\x01" * 32)
    with pytest.raises(WebError, match="no signature"):
        await feed.refresh()


async def test_bad_bytes_are_lost_blocks_and_a_file_of_them_is_left(feed, site):
    await feed.refresh()
    change(site, "content.data", 0, b"bad")
    good, lost = await feed.fetch(range(4))
    assert (sorted(good), lost) == ([1, 2, 3], [0])
    assert feed.take_bad() == ["content.data"]
    assert feed.take_bad() == []


async def test_a_leaf_larger_than_any_block_is_not_asked_for(feed, site):
    change(site, "content.tree", 32 + 32, (2**40).to_bytes(8, "big"))
    await feed.refresh()
    good, lost = await feed.fetch(range(4))
    assert (good, lost) == ({}, [0])


async def test_L_9_a_huge_signatures_file_is_refused(feed, site):
    from aiohttp import web

    async def answer(request):
        response = web.StreamResponse(headers={"Content-Length": str(2**50)})
        if request.method == "HEAD":
            response.content_length = 2**50
        await response.prepare(request)
        return response

    site.answer = answer
    with pytest.raises(WebError, match="nobody has"):
        await feed.refresh()
