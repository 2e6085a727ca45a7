"""What goes on while something else is cut off, closed or changed: nothing of it may be lost."""

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from tests.helpers.feeds import FILE_MODE, ArchiveWriter
from tests.helpers.libraries import Inline, node, opened, source, source_of, state, until
from tests.helpers.network import MemoryNetwork
from tests.helpers.raw_peer import calling
from tests.helpers.sessions import key_named
from tests.helpers.versions import Versions, blocks, held, replaced

from datd import crypto
from datd.archive.entries import Stat
from datd.books.accounts import Accounts
from datd.books.passwords import Passwords
from datd.books.pins import Pins
from datd.errors import StorageError, Timeout, UnknownArchive
from datd.hosting.changes import Changes
from datd.hosting.descriptors import Descriptors
from datd.hosting.keeping.wants import SWEEP
from datd.hosting.pinning import Pinning, keep_for_operator
from datd.wire.messages import Cancel, Data


class Full(Descriptors):
    """A real pool over a disk that takes nothing while it is full."""

    full = False

    @contextmanager
    def lease(self, path, *, create):
        if create and self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        with super().lease(path, create=create) as descriptor:
            yield descriptor


class Slow(Inline):
    """Threads that are busy with something else while they are told so.

    Attributes:
        waiting: What is to be done then.
    """

    def __init__(self) -> None:
        self.busy = False
        self.waiting: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.busy:
            return super().submit(fn, *args, **kwargs)
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def step(self) -> None:
        """Do one thing."""
        self.waiting.pop(0)()

    def go_on(self) -> None:
        """Do all that waits, and be quick from now on."""
        self.busy = False
        while self.waiting:
            self.step()


def test_c8_blocks_that_were_not_asked_for_since_the_disk_is_full_are_nobodys_fault(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 9000 for n in range(200)]})
        disk = Full()
        async with node(network, folder, pool=disk) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: len(peer.asked(1)) > 20)
                disk.full = True
                await until(lambda: state(archive) == "error")
                await asyncio.sleep(50)
                taken_back = {m.index for at, m in peer.heard if at == 1 and isinstance(m, Cancel)}
                assert taken_back <= set(peer.asked(1))
                disk.full = False
                await asyncio.sleep(50)
                await here.library.tidy()
                await until(lambda: state(archive) == "seeding")

    told(of)


def test_a_version_that_somebody_brought_who_was_cut_off_is_known_as_such(told):
    async def of(network, folder):
        writer = ArchiveWriter()
        writer.file("one", [b"first"])
        old = source_of(writer)
        writer.file("two", [], rows=[[1, 2], [2]])
        new = source_of(writer)
        async with node(network, folder) as here:
            threads = here.services.executor = Slow()
            archive = await here.add(old.metadata.key)

            def then_busy(peer, feed, request):
                threads.busy = request.index == 2
                return peer.honest(feed, request)

            async with calling(here, old.metadata, old.content, answer=then_busy) as author:
                await until(lambda: state(archive) == "seeding")
                assert archive.record.summary.files == 1
                await author.append(0, [new.metadata.get(2)])
                await until(lambda: threads.waiting)
                (talk,) = opened(archive).connections
                talk.connection.cut()
                await until(lambda: not opened(archive).connections)
                threads.go_on()
                await until(lambda: archive.record.summary.files == 2)
                assert state(archive) == "seeding"

    told(of)


async def test_what_a_change_is_to_drop_goes_though_a_count_of_the_old_wishes_ends_meanwhile(
    tmp_path,
):
    made = Versions()
    for name in ("a.csv", "b.txt", "c.csv"):
        made.put(name, blocks(name))
    whole = made.source()
    go = threading.Event()
    async with node(MemoryNetwork(), tmp_path) as here, asyncio.TaskGroup() as group:
        whole.plant(here)
        archive = await here.seeding(whole.key, mode="sparse", include=["*.csv"])
        assert held(archive) == list(range(9))
        # The catalogue is busy; the change waits for it.
        group.create_task(here.catalogue.together(lambda _: go.wait(60)))
        changing = group.create_task(archive.change(Changes({"include": ["/a.*"]}), prune=True))
        await until(lambda: archive.record.synced == SWEEP)
        archive.published(0)
        await until(lambda: archive.record.synced != SWEEP)
        go.set()
        await changing
        await until(lambda: held(archive) == [0, 1, 2])


def test_a_version_that_comes_while_old_blocks_go_is_not_called_complete(told, monkeypatch):
    monkeypatch.setattr("datd.hosting.keeping.clearance.BLOCKS", 1)

    async def of(network, folder):
        made = replaced()
        made.put("late", blocks("late"))
        old, new = made.source(3), made.source(4)
        async with node(network, folder) as here:
            old.plant(here)
            threads = here.services.executor = Slow()
            archive = await here.seeding(old.key)
            async with archive.opened() as one, asyncio.TaskGroup() as group:
                await archive.change(Changes({"mode": "latest"}))
                threads.busy = True
                while held(archive) == list(range(9)):
                    await until(lambda: threads.waiting)
                    threads.step()
                # The next old block is about to go. Behind it comes what a peer brought.
                await until(lambda: threads.waiting)
                value, proof = new.metadata.serve(4)
                brought = [Data(4, value, proof.nodes, proof.signature)]
                stored = partial(archive.blocks_stored, one.metadata)
                storing = group.create_task(one.store(one.metadata, brought, [], stored))
                await asyncio.sleep(0.1)
                threads.go_on()
                await storing
                await until(lambda: held(archive) == [3, 4, 5, 6, 7, 8])
                await asyncio.sleep(5)
            assert state(archive) == "searching"
            told, _ = await here.services.events.kept(0, 999)
            complete = [e.fields["version"] for e in told if e.kind == "archive.complete"]
            assert complete == [3]

    told(of)


async def test_an_archive_is_found_by_its_names_while_its_settings_are_written_down(tmp_path):
    go = threading.Event()
    async with node(MemoryNetwork(), tmp_path) as here, asyncio.TaskGroup() as group:
        archive = await here.add(key_named("a"), name="a", domain="x.example")
        group.create_task(here.catalogue.together(lambda _: go.wait(60)))
        changes = Changes({"name": "b", "tags": ["t"]})
        changing = group.create_task(here.library.change(archive, changes))
        await until(lambda: archive.record.tags)
        assert here.library.of_domain("x.example") is archive
        assert here.library.find("a") is archive
        go.set()
        await changing
        assert here.library.find("b") is archive
        with pytest.raises(UnknownArchive):
            here.library.find("a")


async def test_a_folder_is_watched_on_if_its_archive_cannot_be_removed(tmp_path):
    shared, data = tmp_path / "shared", tmp_path / "data"
    shared.mkdir()
    async with node(MemoryNetwork(), data) as here:
        workshop = here.library.workshop
        archive = await workshop.publish(str(shared), {}, chunking="fixed", watch=True)
        await until(lambda: not archive.record.importing)
        await here.catalogue.together(lambda database: database.execute("PRAGMA busy_timeout = 0"))
        blocker = sqlite3.connect(data / "catalogue.sqlite3", isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError):
            await here.library.remove(archive)
        blocker.close()
        (shared / "new").write_bytes(b"come later")
        await until(lambda: archive.record.summary.files == 1)


async def test_an_archive_that_its_operator_takes_over_in_the_last_moment_stays(tmp_path):
    async with node(MemoryNetwork(), tmp_path) as here:
        accounts = Accounts(here.catalogue, clock=lambda: 0.0, passwords=Passwords(log_n=2))
        pins = Pins(here.catalogue, clock=lambda: 0.0)
        pinning = Pinning(here.library, accounts, pins, clock=lambda: 0.0)
        ada = await accounts.add("ada", "correct horse", max_bytes=10**6, max_pins=9)
        assert ada is not None
        archive, _ = await pinning.pin(ada, key_named("a"), None)
        async with asyncio.TaskGroup() as group:
            # Somebody else is changing something, which takes a while.
            threads = here.services.executor = Slow()
            other = await here.add(key_named("b"))
            threads.busy = True
            group.create_task(here.library.change(other, Changes({"mode": "latest"})))
            await until(lambda: threads.waiting)
            group.create_task(keep_for_operator(here.library, archive))
            await asyncio.sleep(0)
            unpinning = group.create_task(pinning.unpin(ada, archive.key))
            await until(lambda: not pins.accounts(archive.key))
            await asyncio.sleep(0)
            threads.go_on()
            await unpinning
        assert here.library.archives() == [archive, other]
        with pytest.raises(UnknownArchive):
            pinning.find(ada, archive.key)


def test_a_disk_that_does_not_answer_keeps_no_other_archive_from_being_flushed(told):
    async def of(network, folder):
        made, other = source(), source(pair=crypto.key_pair(b"another author's archive........"))
        async with node(network, folder) as here, asyncio.TaskGroup() as group:
            threads = here.services.executor = Slow()
            stuck = await here.add(made.key)
            here.services.executor = Inline()
            fine = await here.add(other.key)
            async with calling(here, *made.feeds):
                await until(lambda: state(stuck) == "seeding")
            threads.busy = True
            tidying = group.create_task(here.library.keep_tidy())
            await until(lambda: threads.waiting)
            async with calling(here, *other.feeds, host="203.0.113.10"):
                await until(lambda: state(fine) == "seeding")
            await until(lambda: not fine.in_use and not fine.record.dirty)
            tidying.cancel()
            threads.go_on()

    told(of)


def test_who_waits_for_content_of_an_archive_that_is_removed_hears_of_it_at_once(told):
    async def of(network, folder):
        async with node(network, folder) as here, asyncio.TaskGroup() as group:
            archive = await here.add(key_named("a"))
            entry = Stat(FILE_MODE, 0, 0, size=1, blocks=1, offset=0, byte_offset=0)

            async def reader() -> None:
                with pytest.raises(Timeout, match="closed"):
                    await anext(archive.read(entry, 0, 1, wait=1000))

            group.create_task(reader())
            await until(lambda: archive.in_use)
            await asyncio.sleep(1)
            begun = asyncio.get_running_loop().time()
            await here.library.remove(archive)
        assert asyncio.get_running_loop().time() - begun < 2

    told(of)


def test_what_is_closed_for_good_is_not_opened_to_be_counted(told):
    async def of(network, folder):
        made = source()

        def header(peer, feed, request):
            return None if request.index else peer.honest(feed, request)

        async with node(network, folder) as here:
            threads = here.services.executor = Slow()
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=header), asyncio.TaskGroup() as group:
                await until(lambda: archive.in_use and opened(archive).dirty)
                threads.busy = True
                closing = group.create_task(archive.tidy(close=True))
                await until(lambda: threads.waiting)
                archive.peer_left()
                await asyncio.sleep(0.1)
                threads.go_on()
                await closing
                await asyncio.sleep(0.1)
                assert not archive.in_use

    told(of)
