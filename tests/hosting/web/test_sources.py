import asyncio
import random
import shutil
import time
from contextlib import asynccontextmanager

import pytest
from tests.helpers.feeds import ArchiveWriter
from tests.helpers.libraries import (
    Source,
    content_of,
    node,
    opened,
    read,
    source,
    source_of,
    until,
)
from tests.helpers.network import MemoryNetwork
from tests.helpers.sites import Site, put, use_web

from datd.errors import Timeout
from datd.hosting.web import peer as peers
from datd.hosting.web.sources import LOOKS_A_SECOND
from datd.keys import Key

BLOCK = 65536


@asynccontextmanager
async def served(made: Source, tmp_path, **how):
    """An archive on a web server, and a library that may ask it."""
    put(made, tmp_path / "site", **how)
    async with (
        Site(tmp_path / "site").serving() as site,
        node(MemoryNetwork(), tmp_path / "a") as one,
    ):
        web = use_web(one)
        try:
            yield site, one, web
        finally:
            await web.close()


async def fetched(one, made, site, **settings):
    settings = {"networks": [], "web_sources": [site.url]} | settings
    return await one.add(made.key, **settings)


def large(blocks: int = 200) -> Source:
    chance = random.Random(1)
    return source({"large.bin": [chance.randbytes(BLOCK) for _ in range(blocks)]})


async def test_an_archive_comes_whole_from_a_web_server_alone(tmp_path):
    made = source()
    async with served(made, tmp_path) as (site, one, _):
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding")
        for path, data in made.files.items():
            assert await read(archive, path) == data
        (peer,) = archive.peers()
        assert (peer.source, peer.state) == ("web", "connected")
        assert peer.transport == "http"
        assert peer.marks["good_blocks"] == 4 * 8 + 5
        assert archive.traffic.downloaded.total > sum(map(len, made.files.values()))


async def test_old_versions_come_from_a_data_file_beside(tmp_path):
    writer = ArchiveWriter()
    writer.file("a.txt", [b"first"], rows=[[1]])
    writer.file("a.txt", [b"second"], rows=[[2]])
    made = source_of(writer)
    async with served(made, tmp_path, plain=False) as (site, one, _):
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding")
        assert await read(archive, "/a.txt", 1) == b"first"
        assert await read(archive, "/a.txt") == b"second"


async def test_old_versions_are_not_asked_of_the_newest_file(tmp_path):
    writer = ArchiveWriter()
    writer.file("a.txt", [b"first"], rows=[[1]])
    writer.file("a.txt", [b"second"], rows=[[2]])
    made = source_of(writer)
    made.files["/a.txt"] = b"second"
    async with served(made, tmp_path) as (site, one, _):
        archive = await fetched(one, made, site)
        await until(lambda: archive.record.summary.version == 2)
        assert await read(archive, "/a.txt") == b"second"
        with pytest.raises(Timeout):
            await read(archive, "/a.txt", 1, wait=0.5)
        (peer,) = archive.peers()
        assert "bad_blocks" not in peer.marks


async def test_many_small_blocks_come_in_few_requests(tmp_path):
    made = source({"small.txt": [b"%06d" % n for n in range(3000)]})
    async with served(made, tmp_path) as (site, one, _):
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding", 30)
        assert await read(archive, "/small.txt") == made.files["/small.txt"]
        assert len(site.asked) < 300


async def test_a_range_moves_little_more_than_its_bytes(tmp_path):
    made = large()
    async with served(made, tmp_path) as (site, one, _):
        archive = await fetched(one, made, site, mode="sparse")
        entry = await archive.stat("/large.bin")
        pieces = [piece async for piece in archive.read(entry, 100 * BLOCK, 101 * BLOCK)]
        assert b"".join(pieces) == made.files["/large.bin"][100 * BLOCK : 101 * BLOCK]
        assert site.sent < 2 * BLOCK


async def test_a_limit_of_bandwidth_holds_for_web_servers_too(tmp_path):
    made = large(64)
    async with served(made, tmp_path) as (site, one, _):
        one.services.bandwidth.download.set(100_000)
        began = time.monotonic()
        archive = await fetched(one, made, site)
        await until(lambda: site.sent > 700_000, 60)
        # What nobody used before may come at once, and what was asked for in two seconds.
        assert time.monotonic() - began > 2
        one.services.bandwidth.download.set(None)
        await until(lambda: archive.state == "seeding", 30)
        assert site.sent < 1.1 * 64 * BLOCK
        (peer,) = archive.peers()
        assert (peer.dropped, peer.last_error) == (None, None)


async def test_a_reader_comes_back_to_a_server_that_was_left(tmp_path):
    made = large(8)
    async with served(made, tmp_path) as (site, one, web):
        archive = await fetched(one, made, site, mode="sparse")
        await archive.stat("/large.bin")
        await until(lambda: opened(archive).content)
        await web.leave(archive.key.discovery_key.raw)
        web.join(archive.key.discovery_key.raw, [site.url], at_once=False)
        assert await read(archive, "/large.bin") == made.files["/large.bin"]


async def test_a_server_that_ignores_ranges_will_do(tmp_path):
    made = large(20)
    async with served(made, tmp_path) as (site, one, _):
        site.ranges = False
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding", 30)
        assert await read(archive, "/large.bin") == made.files["/large.bin"]
        # Not once for each part of it.
        assert site.count()["/large.bin"] <= 4


async def test_a_new_version_is_found_by_the_next_look(tmp_path):
    writer = ArchiveWriter()
    writer.file("a.txt", [b"first"], rows=[[1]])
    made = source_of(writer)
    made.files["/a.txt"] = b"first"
    async with served(made, tmp_path) as (site, one, web):
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding")
        writer.file("b.txt", [b"more"], rows=[[1, 2]])
        newer = source_of(writer)
        newer.files.update({"/a.txt": b"first", "/b.txt": b"more"})
        put(newer, tmp_path / "site")
        web.poll(archive.key.discovery_key.raw)
        await until(lambda: archive.record.summary.version == 2)
        assert await read(archive, "/b.txt") == b"more"


async def test_content_that_is_asked_for_before_its_entry_is_here_comes_behind_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(peers, "_HELD_SECONDS", 600.0)  # it comes with the entry, and not in time
    writer = ArchiveWriter()
    writer.file("a.txt", [b"first"], rows=[[1]])
    made = source_of(writer)
    made.files["/a.txt"] = b"first"
    async with served(made, tmp_path) as (site, one, web):
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding")
        writer.file("b.txt", [b"more"], rows=[[1, 2]])
        newer = source_of(writer)
        newer.files.update({"/a.txt": b"first", "/b.txt": b"more"})
        put(newer, tmp_path / "site")
        told = asyncio.Event()

        async def late(request):
            # The entry comes once the tree of content is known, and its blocks are asked for.
            if request.path.endswith("content.tree"):
                told.set()
            elif request.path.endswith("metadata.data"):
                await told.wait()
                await asyncio.sleep(0.1)
            return await site.file(request)

        site.answer = late
        web.poll(archive.key.discovery_key.raw)
        await until(lambda: archive.record.summary.version == 2 and archive.state == "seeding")
        assert await read(archive, "/b.txt", wait=0) == b"more"


async def test_files_of_a_version_that_has_just_come_out_are_not_called_edited(tmp_path):
    writer = ArchiveWriter()
    writer.file("a.bin", [b"old" * 1000] * 4, rows=[[1]])
    made = source_of(writer)
    made.files["/a.bin"] = b"old" * 4000
    writer.file("a.bin", [b"new" * 1000] * 4, rows=[[2]])
    newer = source_of(writer)
    newer.files["/a.bin"] = b"new" * 4000
    put(newer, tmp_path / "later" / "site")
    async with served(made, tmp_path) as (site, one, _):
        archive = await fetched(one, made, site, mode="sparse")
        entry = await archive.stat("/a.bin")
        await until(lambda: opened(archive).content)
        shutil.copytree(tmp_path / "later" / "site", tmp_path / "site", dirs_exist_ok=True)
        with pytest.raises(Timeout):
            async for _ in archive.read(entry, 0, 3000, wait=0.5):
                pass
        (peer,) = archive.peers()
        assert not peer.dropped
        await one.library.tidy()
        await until(lambda: archive.record.summary.version == 2)
        assert await read(archive, "/a.bin") == newer.files["/a.bin"]


async def test_a_quiet_source_costs_one_request_a_look(tmp_path):
    made = source()
    async with served(made, tmp_path) as (site, one, web):
        archive = await fetched(one, made, site)
        await until(lambda: archive.state == "seeding")
        name = archive.key.discovery_key.raw
        await web.leave(name)
        site.asked.clear()
        web.join(name, [site.url], at_once=True)
        await until(lambda: site.asked)
        await until(lambda: archive.peers()[0].state == "waiting")
        assert [path for _, path, _ in site.asked] == ["/.dat/metadata.signatures"]


async def test_damaged_bytes_are_noticed_and_come_from_the_swarm(tmp_path):
    made = large(20)
    put(made, tmp_path / "site")
    file = tmp_path / "site" / "large.bin"
    data = bytearray(file.read_bytes())
    data[7 * BLOCK + 5] ^= 1
    file.write_bytes(data)
    network = MemoryNetwork()
    async with (
        Site(tmp_path / "site").serving() as site,
        node(network, tmp_path / "a") as one,
        node(network, tmp_path / "b", "10.0.0.2") as two,
    ):
        web = use_web(one)
        made.plant(two)
        await two.seeding(made.key)
        archive = await fetched(one, made, site)
        await until(lambda: archive.peers()[0].marks.get("bad_blocks"))
        # All else comes from there: the swarm, which is as fast, is asked for nothing before.
        await until(lambda: content_of(archive).feed.present_blocks == 19)
        assert archive.state != "seeding"
        await archive.add_peer(two.address)
        await until(lambda: archive.state == "seeding")
        assert await read(archive, "/large.bin") == made.files["/large.bin"]
        peer = next(peer for peer in archive.peers() if peer.source == "web")
        assert "large.bin" in (peer.dropped or "")
        assert peer.marks["good_blocks"] > 15
        await web.close()


async def test_T_49_a_private_address_is_not_asked(tmp_path):
    made = source()
    put(made, tmp_path / "site")
    async with (
        Site(tmp_path / "site").serving() as site,
        node(MemoryNetwork(), tmp_path / "a") as one,
    ):
        web = use_web(one, allow=False)
        archive = await fetched(one, made, site)
        await until(lambda: archive.peers()[0].last_error)
        assert "web.allow_networks" in (archive.peers()[0].last_error or "")
        assert not site.asked
        await web.close()


async def test_a_paused_archive_asks_nobody(tmp_path):
    made = source()
    async with served(made, tmp_path) as (site, one, _):
        archive = await fetched(one, made, site, paused=True)
        await asyncio.sleep(0)
        assert archive.peers() == []
        await archive.resume()
        await until(lambda: archive.state == "seeding")
        await archive.pause()
        assert archive.peers() == []


async def test_at_the_start_many_sources_are_looked_at_one_after_the_other(tmp_path):
    (tmp_path / "site").mkdir()
    async with (
        Site(tmp_path / "site").serving() as site,
        node(MemoryNetwork(), tmp_path / "a") as one,
    ):
        settings = {"networks": [], "web_sources": [site.url]}
        hosted = [await one.add(Key(bytes([n + 1]) * 32), **settings) for n in range(100)]
        web = use_web(one)
        try:
            began = time.monotonic()
            for archive in hosted:
                archive.join(at_once=False)
            await until(lambda: len(site.asked) >= 20)
            # All at once they took a hundredth of that.
            assert time.monotonic() - began > 0.5 * 20 / LOOKS_A_SECOND
        finally:
            await web.close()
