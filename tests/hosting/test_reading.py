import asyncio

import pytest
from tests.helpers.feeds import FILE_MODE
from tests.helpers.libraries import content_of, node, read, source, until
from tests.helpers.raw_peer import RawPeer, calling

from datd.archive import append_tree
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


def test_a_folder_with_more_children_than_are_read_at_once_is_read_in_slices(told, monkeypatch):
    monkeypatch.setattr(append_tree, "MAX_ENTRIES_READ", 40)

    async def of(network, folder):
        made = source({f"f{number:03}": [b"x"] for number in range(100)})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            for version in (None, 90):
                await archive.tidy(close=True)  # what was read before is forgotten
                found, following = await archive.list("/", version, after="f009", limit=3)
                assert [one.path for one in found] == [f"/f{n:03}" for n in (10, 11, 12)]
                assert following == "f012"
                assert (await archive.stat("/f050", version)).size == 1

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
            assert 4 <= round(loop.time() - begun, 6) < 4.2
            with pytest.raises(Timeout):
                await archive.stat("/file-0.txt", wait=0)

    told(of)


def test_a_reader_has_the_next_blocks_asked_for_while_it_waits_for_one(told):
    async def of(network, folder):
        first = [b"%03d" % n * 10 for n in range(540)]
        made = source({"first": first, "second": [b"%02d" % n * 20000 for n in range(60)]})

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


def test_of_small_blocks_few_hashes_come_and_nothing_beyond_the_range(told):
    async def of(network, folder):
        blocks = [b"%03d" % n * 10 for n in range(600)]
        nodes = 0

        def counting(peer: RawPeer, feed: int, request: Request) -> Data | None:
            nonlocal nodes
            answer = resolving(peer, feed, request)
            nodes += len(answer.nodes) if feed == 1 and answer is not None else 0
            return answer

        made = source({"file": blocks})
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds, answer=counting) as peer:
                stat = await archive.stat("/file", wait=60)
                got = [p async for p in archive.read(stat, 30 * 100, 30 * 500, wait=60)]
                assert b"".join(got) == b"".join(blocks[100:500])
                assert sorted(peer.asked(1)) == list(range(100, 500))
                # Asked for all at once, each would draw ten.
                assert nodes < 400 * 4

    told(of)


def resolving(peer: RawPeer, feed: int, request: Request) -> Data | None:
    """What the original answers, who knows where each byte is."""
    found = peer.feeds[feed].resolve_bytes(request.bytes) if request.bytes else None
    return peer.honest(feed, request if found is None else Request(found))


CUT = [bytes([n]) * (100 + n * 7919 % 900) for n in range(250)]


@pytest.mark.parametrize("answer", [resolving, RawPeer.honest], ids=["seeks", "ignores bytes"])
def test_uneven_blocks_are_found_by_their_bytes_or_else_by_guesses(told, answer):
    async def of(network, folder):
        made = source({"other": [b"x"] * 10, "file": CUT})
        whole = made.files["/file"]
        ends = [sum(map(len, CUT[: n + 1])) for n in range(len(CUT))]
        for place, (start, stop) in enumerate([(20_000, 50_000), (1, 2), (100_000, len(whole))]):
            async with node(network, folder / f"{place}", f"10.0.1.{place}") as here:
                archive = await here.add(made.key, mode="sparse")
                async with calling(here, *made.feeds, answer=answer) as peer:
                    stat = await archive.stat("/file", wait=60)
                    got = [piece async for piece in archive.read(stat, start, stop, wait=60)]
                    assert b"".join(got) == whole[start:stop]
                    needed = {
                        n + 10
                        for n, size in enumerate(map(len, CUT))
                        if ends[n] > start and ends[n] - size < stop
                    }
                    came = {at for at, bit in enumerate(content_of(archive).feed.have) if bit}
                    assert needed <= came
                    # By guesses a few of the neighbours come along.
                    assert len(came) <= len(needed) + (0 if answer is resolving else 20)
                    assert len(peer.heard) < len(came) + 100

    told(of)


def test_a_seek_that_nobody_answers_holds_a_reader_up_for_seconds_only(told):
    async def of(network, folder):
        made = source({"file": CUT})

        def deaf(peer: RawPeer, feed: int, request: Request) -> Data | None:
            return None if request.bytes else peer.honest(feed, request)

        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds, answer=deaf):
                stat = await archive.stat("/file", wait=60)
                begun = asyncio.get_running_loop().time()
                got = [piece async for piece in archive.read(stat, 40_000, 60_000, wait=60)]
                assert b"".join(got) == made.files["/file"][40_000:60_000]
                assert asyncio.get_running_loop().time() - begun < 12

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
