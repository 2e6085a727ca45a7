import hashlib
import io

import pytest
from tests.helpers.api import running_api

from datctl.client import Client
from datctl.errors import ApiError, Conflict, NoPeers, NotFound, Unauthorized, UsageError

LINK = "dat://" + "a" * 64


@pytest.fixture
async def dat(api):
    async with api.client() as client:
        yield client


async def test_a_round_of_an_archives_life(dat):
    added, new = await dat.add(LINK, name="recipes", tags=["kitchen"], peers=["192.0.2.1:1"])
    assert (new, added.name, added.tags) == (True, "recipes", ["kitchen"])
    assert await dat.add(LINK) == (await dat.archive("recipes"), False)
    assert (await dat.pause("recipes")).state == "paused"
    assert (await dat.resume("recipes")).state == "searching"
    await dat.add_peer("recipes", "192.0.2.2:2")
    assert {peer.address for peer in await dat.peers("recipes")} == {"192.0.2.1:1", "192.0.2.2:2"}
    assert len(await dat.peers()) == 2
    assert (await dat.archive_stats("recipes")).key == added.key
    assert (await dat.stats()).archives == {"searching": 1}
    await dat.remove("recipes")
    assert [archive async for archive in dat.all_archives()] == []


async def test_the_daemon_says_what_it_is(dat):
    assert (await dat.info()).name == "datd"


async def test_lists_are_filtered_and_paged(dat):
    for digit in "abcde":
        await dat.add(digit * 64, name=f"name {digit}", tags=["t"] if digit in "ab" else [])
    page = await dat.archives(limit=2, sort="-name")
    assert [archive.name for archive in page.archives] == ["name e", "name d"]
    following = await dat.archives(limit=2, sort="-name", cursor=page.next_cursor)
    assert [archive.name for archive in following.archives] == ["name c", "name b"]
    assert len([a async for a in dat.all_archives(tags=["t"])]) == 2
    assert len([a async for a in dat.all_archives(q="name c")]) == 1


async def test_errors_tell_what_is_wrong(dat):
    with pytest.raises(NotFound) as unknown:
        await dat.archive("nobody")
    assert unknown.value.kind == "unknown_archive"
    await dat.add(LINK, name="x")
    with pytest.raises(Conflict):
        await dat.add(LINK, name="y")
    with pytest.raises(ApiError) as wrong:
        await dat.add("nonsense")
    assert wrong.value.kind == "bad_link"
    with pytest.raises(ApiError) as fields:
        await dat.add("b" * 64, peers=["192.0.2.1:1"] * 100)
    assert fields.value.fields[0][0] == "/peers"


async def test_without_a_valid_token_it_is_unauthorized(api):
    async with Client(api.url, token="wrong", env={}) as dat:
        with pytest.raises(Unauthorized):
            await dat.info()


async def test_a_missing_token_says_why(api, tmp_path):
    (tmp_path / "api.token").write_text("x")
    (tmp_path / "api.token").chmod(0o644)
    async with Client(api.url, env={"DATD_DATA_DIR": str(tmp_path)}) as dat:
        with pytest.raises(Unauthorized, match="chmod 600"):
            await dat.info()


async def test_the_unix_socket_needs_no_token(api):
    async with Client(f"unix://{api.socket_path}", env={}) as dat:
        assert (await dat.info()).name == "datd"


@pytest.mark.parametrize(
    "name", ["ö & ?#%2F", "a b", "100%", "a+b", "{x}", "日本語", "a\\b", "..."]
)
async def test_any_name_finds_its_archive(dat, name):
    await dat.add(LINK, name=name)
    assert (await dat.archive(name)).name == name


async def test_every_file_is_read_as_listed(api, dat):
    hosted = await api.host("archival-nested")
    entries = [entry async for entry in dat.walk(hosted.key.hex)]
    assert len(entries) == hosted.expected["version"] or entries
    for entry in entries:
        if entry.kind == "file":
            data = await dat.read(hosted.key.hex, entry.path)
            assert len(data) == entry.size
            head = await dat.head(hosted.key.hex, entry.path)
            assert head is not None
            assert head.size == entry.size
        else:
            assert await dat.head(hosted.key.hex, entry.path) is None


async def test_parts_of_a_file(api, dat):
    hosted = await api.host("archival-big")
    key, path = hosted.key.hex, "/big.log"
    whole = await dat.read(key, path)
    digest = next(row[4] for row in hosted.expected["history"] if row[2] == path)
    assert hashlib.sha256(whole).hexdigest() == digest
    assert await dat.read(key, path, start=100, stop=200_000) == whole[100:200_000]
    assert await dat.read(key, path, start=3_000_000) == whole[3_000_000:]
    assert await dat.read(key, path, start=-10) == whole[-10:]
    assert await dat.read(key, path, stop=1) == whole[:1]
    with pytest.raises(UsageError):
        await dat.read(key, path, start=5, stop=5)
    with pytest.raises(ApiError) as behind:
        await dat.read(key, path, start=10_000_000)
    assert behind.value.kind == "bad_range"


async def test_a_file_that_seeks(api, dat):
    hosted = await api.host("archival-big")
    whole = await dat.read(hosted.key.hex, "/big.log")
    async with dat.open(hosted.key.hex, "/big.log") as file:
        file.seek(-100, io.SEEK_END)
        assert await file.read() == whole[-100:]
        file.seek(1_000_000)
        assert await file.read(500_000) == whole[1_000_000:1_500_000]
    with pytest.raises(UsageError):
        async with dat.open(hosted.key.hex, "/"):
            pass


async def test_what_is_not_there_is_not_found(api, dat):
    hosted = await api.host("archival-nested")
    key = hosted.key.hex
    for call in (
        lambda: dat.read(key, "/nothing"),
        lambda: dat.head(key, "/nothing"),
        lambda: dat.list(key, "/nothing"),
        lambda: dat.list(key, "/a.txt"),
        lambda: dat.read(key, "/a.txt", version=9999),
    ):
        with pytest.raises(NotFound) as error:
            await call()
        assert error.value.detail.endswith(".")


async def test_what_nobody_has_runs_out_of_time(dat):
    await dat.add(LINK)
    with pytest.raises(NoPeers):
        await dat.read(LINK, "/a", wait=0.05)
    with pytest.raises(NoPeers):
        await dat.list(LINK, wait=0.05)


async def test_a_list_of_more_than_a_page(tmp_path):
    async with running_api(tmp_path) as api, api.client() as dat:
        hosted = await api.host("archival-wide")
        key = hosted.key.hex
        pages, cursor = [], None
        while True:
            page = await dat.list(key, "/", recursive=True, limit=50, cursor=cursor)
            pages.append(page)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(pages) > 2
        found = [entry.path for page in pages for entry in page.entries]
        assert found == [entry.path async for entry in dat.walk(key)]
        assert len(set(found)) == len(found)


async def test_networks_and_domain_can_be_changed(api):
    async with api.client() as dat:
        archive, _ = await dat.add("dat://" + "a" * 64, networks=["dns"], domain="x.example")
        assert (archive.networks, archive.domain) == (["dns"], "x.example")
        assert (await dat.set_networks("aaaaaa", [])).networks == []
        assert (await dat.set_networks("aaaaaa", None)).networks == ["mdns", "dns", "dht"]
        assert (await dat.set_domain("aaaaaa", None)).domain is None
        await dat.add("dat://" + "b" * 64, domain="x.example")
        with pytest.raises(Conflict):
            await dat.set_domain("aaaaaa", "x.example")
