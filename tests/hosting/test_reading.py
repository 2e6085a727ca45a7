import asyncio

import pytest
from tests.helpers.feeds import FILE_MODE
from tests.helpers.libraries import node, read, source, until
from tests.helpers.raw_peer import RawPeer, calling

from datd.archive.entries import Stat
from datd.errors import ArchiveFormatError, EntryNotFound, Timeout, VersionNotFound
from datd.hosting.reading import READ_BYTES
from datd.wire.messages import Data, Request


def test_any_range_of_a_file_gives_its_bytes(told):
    async def of(network, folder):
        made = source({"file": [b"abc", b"", b"defgh", b"i"], "empty": []})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            whole = made.files["/file"]
            stat = await archive.stat("/file")
            for start in range(len(whole) + 1):
                for stop in range(start, len(whole) + 1):
                    got = b"".join([piece async for piece in archive.read(stat, start, stop)])
                    assert got == whole[start:stop]
            assert await read(archive, "/empty") == b""

    told(of)


def test_a_large_file_comes_in_pieces_and_one_is_read_when_the_last_was_taken(told):
    async def of(network, folder):
        made = source({"file": [bytes([n]) * 60000 for n in range(40)]})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            stat = await archive.stat("/file")
            pieces = [piece async for piece in archive.read(stat, 0, stat.size)]
            assert b"".join(pieces) == made.files["/file"]
            assert len(pieces) >= 4
            assert max(map(len, pieces)) <= READ_BYTES

    told(of)


def test_a_listing_in_pages_is_the_listing(told):
    async def of(network, folder):
        made = source({f"f{n:02d}": [b"%d" % n] for n in range(23)})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            for recursive in (False, True):
                for limit in (1, 5, 23, 100):
                    found, after = [], None
                    while True:
                        page, after = await archive.list(
                            "/", recursive=recursive, after=after, limit=limit
                        )
                        assert len(page) <= limit
                        found += [(entry.path, entry.size, entry.available) for entry in page]
                        if after is None:
                            break
                    assert sorted(found) == [
                        (path, len(value), 1) for path, value in sorted(made.files.items())
                    ]

    told(of)


@pytest.mark.parametrize("after", ["x", "1,,2", "-1", "1,x", "\u0661", " 1", "1" * 17])
def test_a_mark_that_no_page_gave_is_refused_with_a_sentence(told, after):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            with pytest.raises(ArchiveFormatError, match="no place in this list"):
                await archive.list("/", recursive=True, after=after)

    told(of)


def test_what_is_missing_of_metadata_comes_from_peers_first(told):
    async def of(network, folder):
        made = source({f"f{n}": [b"%d" % n] for n in range(30)})
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with asyncio.TaskGroup() as group:
                listing = group.create_task(archive.list("/", wait=20))
                await asyncio.sleep(3)
                assert not listing.done()
                async with calling(here, *made.feeds):
                    entries, _ = await listing
                    assert {entry.path for entry in entries} == set(made.files)
            with pytest.raises(EntryNotFound):
                await archive.stat("/nothing")
            with pytest.raises(VersionNotFound):
                await archive.stat("/f1", 99)

    told(of)


def test_without_any_peer_a_question_ends_in_time_and_says_so(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            with pytest.raises(Timeout, match="0 connected"):
                await archive.stat("/file-0.txt", wait=4)
            assert 4 <= loop.time() - begun < 4.2
            with pytest.raises(Timeout):
                await archive.stat("/file-0.txt", wait=0)

    told(of)


def test_a_reader_has_the_next_blocks_asked_for_while_it_waits_for_one(told):
    async def of(network, folder):
        blocks = [b"%03d" % n * 10 for n in range(600)]
        made = source({"first": blocks[:540], "second": blocks[540:]})

        def owing(peer: RawPeer, feed: int, request: Request) -> Data | None:
            return peer.honest(feed, request) if feed == 0 or request.index >= 540 else None

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=owing) as peer:
                await until(lambda: peer.asked(1))
                await read(archive, "/second", wait=60)
                asked = [index for index in peer.asked(1) if index >= 540]
                assert asked[:17] == list(range(540, 557))

    told(of)


def test_t26_an_entry_that_lies_gives_an_error_and_not_other_bytes(told):
    async def of(network, folder):
        made = source({"file": [b"abc", b"defgh"]})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            for lie in (
                Stat(FILE_MODE, size=8, blocks=2, offset=0, byte_offset=1),
                Stat(FILE_MODE, size=2**40, blocks=1, offset=0, byte_offset=0),
                Stat(0o040755, size=8, blocks=2),
            ):
                with pytest.raises((ArchiveFormatError, Timeout)):
                    async for _ in archive.read(lie, 0, lie.size, wait=0.1):
                        pass

    told(of)
