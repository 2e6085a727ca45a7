import asyncio
import sqlite3
import time
from functools import partial

import pytest
from tests.helpers.libraries import node, read, source, until
from tests.helpers.sessions import key_named

from datd import crypto
from datd.errors import ArchiveExists, StorageError, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.own.publishing import once
from datd.keys import Key
from datd.types import Address


def test_an_archive_is_found_by_key_link_name_and_beginning(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            key, other = key_named("one"), key_named("other")
            archive = await here.add(key, name="my archive")
            await here.add(other)
            find = here.library.find
            for reference in (key.hex, f"dat://{key.hex}", key.hex.upper(), "my archive"):
                assert find(reference) is archive
            assert find(key.hex[:6]) is archive
            assert find(key.hex[:8].upper()) is archive
            for unknown in (key.hex[:5], "my", "", key_named("third").hex, "dat://x"):
                with pytest.raises(UnknownArchive):
                    find(unknown)

    told(of)


def test_a_beginning_that_two_archives_have_finds_neither(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            keys = [Key(b"\xab\xcd\xef\x01" + bytes([n]) * 28) for n in range(2)]
            for key in keys:
                await here.add(key)
            with pytest.raises(UnknownArchive, match="2 archives begin with abcdef01"):
                here.library.find("abcdef01")
            assert here.library.find("abcdef0101").key == keys[1]

    told(of)


def test_ten_thousand_archives_start_in_no_time_and_are_found_in_no_time(told):
    async def of(network, folder):
        keys = [key_named(f"archive {n}") for n in range(10_000)]
        async with node(network, folder) as here:
            record = (await here.add(keys[0], name="name 0")).record
            records = [
                type(record)(key, added_at=n, name=f"name {n}", paused=True)
                for n, key in enumerate(keys)
            ]
            await here.catalogue.save(records)
        begun = time.process_time()  # what others of this machine do does not count
        async with node(network, folder) as here:
            assert len(here.library.archives()) == 10_000
            assert here.pool.open_files == 0
            # By any scan this would be 20,000 * 10,000 comparisons.
            for n, key in enumerate(keys):
                assert here.library.find(key.hex).key is here.library.find(f"name {n}").key
        assert time.process_time() - begun < 8

    told(of)


def test_adding_twice_gives_the_same_archive_unless_something_else_is_asked(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            key = key_named("one")
            first, new = await here.library.add(key, name="mine", tags=["a", "b", "a"])
            assert new
            assert first.tags == ["a", "b"]
            assert await here.library.add(key) == (first, False)
            again = await here.library.add(key, peers=[Address("10.0.0.9", 1)], tags=["b", "a"])
            assert again == (first, False)
            assert first.record.peers == [Address("10.0.0.9", 1)]
            for other in ({"name": "x"}, {"tags": ["c"]}, {"version": 3}, {"paused": True}):
                with pytest.raises(ArchiveExists):
                    await here.library.add(key, **other)
            with pytest.raises(ArchiveExists, match="another name"):
                await here.library.add(key_named("two"), name="mine")
            both = [here.library.add(key_named("three")) for _ in range(2)]
            assert [new for _, new in await asyncio.gather(*both)] == [True, False]

    told(of)


def test_everything_is_there_again_after_a_restart(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            await here.library.add(key_named("a"), name="one", tags=["x"], version=7)
            paused = await here.add(key_named("b"), paused=True)
            assert paused.state == "paused"
            await here.library.add(key_named("c"), peers=[Address("10.0.0.9", 99)])
        async with node(network, folder) as here:
            one = here.library.find("one")
            assert (one.tags, one.record.pinned, one.paused) == (["x"], 7, False)
            assert here.library.find(key_named("b").hex).paused
            await until(lambda: network.dials)
            assert network.dials[-1][1] == Address("10.0.0.9", 99)

    told(of)


def test_what_is_removed_is_gone_with_its_files_or_kept_and_used_again(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key, name="mine")
            await here.library.remove(archive, keep_data=True)
            assert made.folder(here).exists()
            with pytest.raises(UnknownArchive):
                here.library.find("mine")
            with pytest.raises(UnknownArchive):
                await here.library.remove(archive)
            again = await here.seeding(made.key, name="mine")
            assert again is not archive
            # The old handle cannot take the new one away.
            with pytest.raises(UnknownArchive):
                await here.library.remove(archive)
            assert here.library.find("mine") is again
            await here.library.remove(again)
            assert not made.folder(here).exists()
        async with node(network, folder) as here:
            assert here.library.archives() == []

    told(of)


def test_a_catalogue_that_cannot_be_written_stops_neither_the_clock_nor_what_is_hosted(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            lock = sqlite3.connect(folder / "catalogue.sqlite3", isolation_level=None)
            here.catalogue._database.execute("PRAGMA busy_timeout = 0")
            lock.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StorageError):
                await here.library.remove(archive)
            assert here.library.find(made.key.hex) is archive
            assert (await archive.stat("/file-0.txt")).is_file
            async with asyncio.TaskGroup() as group:
                tidying = group.create_task(here.library.keep_tidy())
                await asyncio.sleep(100)
                assert not tidying.done()
                lock.execute("ROLLBACK")
                lock.close()
                await asyncio.sleep(100)
                tidying.cancel()
            assert archive.error is None
            assert archive.state == "seeding"

    told(of)


def test_the_whole_daemon_in_numbers(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "a") as a,
            node(network, folder / "b", "10.0.0.2") as b,
        ):
            made.plant(a)
            await a.seeding(made.key)
            await b.seeding(made.key, a)
            await b.add(key_named("nobody has it"))
            await b.add(key_named("asleep"), paused=True)
            view = await b.library.view()
            assert view.archives == {"seeding": 1, "searching": 1, "paused": 1}
            assert (view.peers_connected, view.peers_known) == (1, 1)
            size = made.metadata.byte_length + made.content.byte_length
            assert view.downloaded == view.bytes_have == size
            assert view.blocks_have == made.metadata.length + made.content.length
            (peer,) = b.library.peers()
            assert (peer.state, peer.initiator, peer.downloaded) == ("connected", True, size)
            assert peer.length == made.metadata.length
            (caller,) = a.library.peers()
            assert (caller.initiator, caller.uploaded) == (False, size)

    told(of)


def test_counters_survive_a_restart(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder / "a") as a:
            made.plant(a)
            await a.seeding(made.key)
            async with node(network, folder / "b", "10.0.0.2") as b:
                await b.seeding(made.key, a)
                seen = b.library.find(made.key.hex).record.last_peer_at
        async with node(network, folder / "b", "10.0.0.2") as b:
            view = await b.library.find(made.key.hex).view()
            assert view.downloaded == made.metadata.byte_length + made.content.byte_length
            assert view.last_peer_at == seen

    told(of)


def test_an_archive_of_another_author_is_another_archive(told):
    async def of(network, folder):
        one, two = source(), source(pair=crypto.key_pair(b"second author" + b"." * 19))
        async with node(network, folder) as here:
            one.plant(here)
            two.plant(here)
            await here.seeding(one.key)
            await here.seeding(two.key)
            assert len({str(archive.folder) for archive in here.library.archives()}) == 2

    told(of)


def test_an_archive_is_found_by_its_domain_and_by_the_name_it_was_added_by(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            first, _ = await here.library.add(key_named("a"), shortname="old.example")
            second, _ = await here.library.add(
                key_named("b"), shortname="old.example", domain="new.example", name="plain.example"
            )
            find = here.library.find
            assert find("old.example") is second
            assert find("dat://NEW.example/path") is second
            assert find("plain.example") is second
            third, _ = await here.library.add(key_named("c"))
            for name in ("late.example", "later.example"):  # the first one is kept
                assert await here.library.add(key_named("c"), shortname=name) == (third, False)
            assert find("late.example") is third
            await here.library.change(first, Changes({"domain": "old.example"}))
            assert find("old.example") is first
            for unknown in ("other.example", "old.example+x", "localhost", "10.0.0.1"):
                with pytest.raises(UnknownArchive):
                    find(unknown)

    told(of)


def test_a_domain_belongs_to_one_archive_until_it_is_taken_away_or_the_archive_is(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            library = here.library
            one, _ = await library.add(key_named("a"), domain="x.example")
            other, _ = await library.add(key_named("b"))
            assert library.of_domain("x.example") is one
            with pytest.raises(ArchiveExists, match=r"x\.example"):
                await library.change(other, Changes({"domain": "x.example"}))
            with pytest.raises(ArchiveExists):
                await library.add(key_named("c"), domain="x.example")
            with pytest.raises(ArchiveExists, match="other settings"):
                await library.add(key_named("b"), domain="y.example")
            await library.change(one, Changes({"domain": "x.example"}))
            await one.pause()
            assert library.of_domain("x.example") is None
            await one.resume()
            assert library.of_domain("x.example") is one
            await library.change(one, Changes({"domain": None}))
            assert library.of_domain("x.example") is None
            await library.change(other, Changes({"domain": "x.example"}))
            await library.remove(other)
            assert library.of_domain("x.example") is None
            with pytest.raises(UnknownArchive):
                await library.change(other, Changes({"domain": "x.example"}))
        async with node(network, folder) as here:
            assert here.library.of_domain("x.example") is None

    told(of)


def test_settings_that_cannot_be_written_down_are_not_lived_by(told):
    async def of(network, folder):
        async with node(network, folder, discovers=True) as here:
            archive, _ = await here.library.add(key_named("a"), domain="x.example")
            blocker = sqlite3.connect(folder / "catalogue.sqlite3", isolation_level=None)
            here.catalogue._database.execute("PRAGMA busy_timeout = 0")
            blocker.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StorageError):
                await here.library.change(archive, Changes({"networks": [], "domain": None}))
            with pytest.raises(StorageError):
                await archive.pause()
            with pytest.raises(StorageError):
                await archive.add_peer(Address("10.0.0.9", 1))
            blocker.close()
            assert (archive.record.networks, archive.record.domain) == (None, "x.example")
            assert (archive.paused, archive.record.peers, archive.peers()) == (False, [], [])
            assert here.library.of_domain("x.example") is archive

    told(of)


def test_archives_of_an_earlier_life_are_looked_up_one_after_the_other(told):
    async def of(network, folder):
        async with node(network, folder, discovers=True) as here:
            for number in range(100):
                await here.add(key_named(f"archive {number}"))
            network.discoveries.clear()
        async with node(network, folder, discovers=True):
            (discovery,) = network.discoveries
            await asyncio.sleep(5)
            assert 5 <= len(discovery.lookups) <= 15
            await asyncio.sleep(60)
            assert len(set(discovery.lookups)) == 100

    told(of)


def is_at(archive: HostedArchive, version: int) -> bool:
    return archive.record.summary.version == version


def test_c16_d10_a_clock_that_jumps_by_years_decides_nothing_about_data(told):
    async def of(network, folder):
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            ours = await one.library.create()
            await one.library.publisher.put(ours, "/0", once(b"before"))
            copy = await two.seeding(ours.key, one)
            for number, shown in enumerate((1.7e9, 1.7e9 - 3.2e7, 1.7e9 + 3.2e7, 0.0), 2):
                for here in (one, two):
                    here.library.services.wall_clock = partial(float, shown)
                body = b"at %d" % shown
                put = await one.library.publisher.put(ours, f"/{number}", once(body))
                assert put.version == number
                await until(partial(is_at, copy, number))
                assert await read(copy, f"/{number}") == body
                await one.library.tidy(close=True)
            assert (ours.record.conflict, copy.record.conflict) == (None, None)
            assert copy.peers_connected == 1, "nobody was thrown out"

    told(of)


def test_c16_after_half_a_day_of_sleep_all_archives_are_back_within_a_minute(told, caplog):
    async def of(network, folder):
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            ours = [await one.library.create() for _ in range(6)]
            copies = [await two.add(archive.key, one) for archive in ours]
            await until(lambda: all(copy.peers_connected == 1 for copy in copies))
            network.cut("10.0.0.2")
            await asyncio.sleep(43_000)  # simulated; a story ends after a day
            assert not any(copy.peers_connected for copy in copies)
            network.mend("10.0.0.2")
            await asyncio.sleep(60)
            assert [copy.peers_connected for copy in copies] == [1] * len(copies)
            await one.library.publisher.put(ours[0], "/after", once(b"it"))
            await until(partial(is_at, copies[0], 1))
        told_by_us = [line for line in caplog.records if line.name.startswith("datd.")]
        assert not [line for line in told_by_us if line.levelname in ("WARNING", "ERROR")]

    told(of)
