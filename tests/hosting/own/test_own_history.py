"""Our own feeds never fork, whatever was restored, lost or claimed (reliability.md 3.4)."""

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.libraries import Node, content_of, node, opened, read, until
from tests.helpers.network import MemoryNetwork

from datd import crypto
from datd.errors import Behind, Forked
from datd.hosting.archive import HostedArchive
from datd.hosting.own.own_history import OwnHistory
from datd.hosting.own.publishing import once
from datd.hosting.own.secrets import Secrets
from datd.keys import Key


async def put(one: Node, archive: HostedArchive, path: str, body: bytes) -> int:
    return (await one.library.publisher.put(archive, path, once(body))).version


async def published(network: MemoryNetwork, folder: Path, *, mirror: Node | None = None) -> Key:
    """An archive of three versions at `10.0.0.1`, whose state at version 2 is kept beside it."""
    async with node(network, folder / "1") as one:
        ours = await one.library.create()
        await put(one, ours, "/a", b"a" * 100_000)
        await put(one, ours, "/b", b"b")
        await one.library.tidy(close=True)
        shutil.copytree(folder / "1", folder / "old")
        await put(one, ours, "/c", b"c" * 100_000)
        if mirror is not None:
            await mirror.seeding(ours.key, one)
        return ours.key


def restore(folder: Path, *parts: str) -> None:
    """Put parts of the data folder back to what they were at version 2."""
    for part in parts:
        shutil.rmtree(folder / "1" / part)
        shutil.copytree(folder / "old" / part, folder / "1" / part)


async def back(one: Node, key: Key, *sources: Node) -> HostedArchive:
    archive = one.library.find(key.hex)
    for source in sources:
        await archive.add_peer(source.address)
    return archive


def test_c15_what_was_restored_without_a_mirror_is_not_appended_to(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        key = await published(network, folder)
        restore(folder, "archives")
        async with node(network, folder / "1") as one:
            with pytest.raises(Behind):
                await put(one, await back(one, key), "/d", b"d")
            assert await read(one.library.find(key.hex), "/b") == b"b"

    told(of)


def test_c15_what_was_restored_is_fetched_back_and_then_written(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        async with node(network, folder / "2", "10.0.0.2") as two:
            key = await published(network, folder, mirror=two)
            restore(folder, "archives")
            async with node(network, folder / "1") as one:
                ours = await back(one, key, two)
                assert await put(one, ours, "/d", b"d") == 4
                copy = two.library.find(key.hex)
                await until(lambda: copy.record.summary.version == 4 and copy.state == "seeding")
                assert await read(copy, "/d") == b"d"
                assert await read(ours, "/c") == b"c" * 100_000
                assert copy.record.conflict is None

    told(of)


def test_c15_a_whole_backup_hears_of_the_longer_history_from_its_mirror(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        async with node(network, folder / "2", "10.0.0.2") as two:
            key = await published(network, folder, mirror=two)
            restore(folder, "archives", "keys")
            async with node(network, folder / "1") as one:
                ours = await back(one, key, two)
                async with ours.opened() as feeds:
                    await until(lambda: any(p.announced_length for p in feeds.connections))
                    assert await put(one, ours, "/d", b"d") == 4
                copy = two.library.find(key.hex)
                await until(lambda: copy.record.summary.version == 4)
                assert copy.record.conflict is None

    told(of)


def test_c15_c19_a_backup_whose_catalogue_was_lost_asks_its_mirrors_before_it_is_written(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        async with node(network, folder / "2", "10.0.0.2") as two:
            key = await published(network, folder, mirror=two)
            restore(folder, "archives", "keys")
            # As rebuilding leaves it: the mark fits what lies here, and may be as old.
            secrets = Secrets(folder / "1/keys")
            mark = secrets.mark(key.discovery_key)
            assert mark is not None
            secrets.set_mark(key.discovery_key, replace(mark, doubtful=True))
            async with node(network, folder / "1") as one:
                # Nobody is connected yet: it is waited for the mirror, and no second 3 is signed.
                assert await put(one, await back(one, key, two), "/d", b"d") == 4
                after = secrets.mark(key.discovery_key)
                assert after is not None
                assert not after.doubtful
                copy = two.library.find(key.hex)
                await until(lambda: copy.record.summary.version == 4)
                assert copy.record.conflict is None

    told(of)


def test_a_key_without_a_mark_asks_its_mirrors_first(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        async with (
            node(network, folder / "2", "10.0.0.2") as two,
            node(network, folder / "3", "10.0.0.3") as three,
        ):
            key = await published(network, folder, mirror=two)
            name = str(key.discovery_key)
            secret = (folder / "1/keys" / name[:2] / name[2:]).read_bytes()
            copy = await three.add(key, two)
            await three.library.take_secret(copy, secret)
            # Nothing is here yet, not even the header: all of it has to come first.
            assert await put(three, copy, "/d", b"d") == 4
            await until(lambda: two.library.find(key.hex).record.summary.version == 4)
            assert two.library.find(key.hex).record.conflict is None

    told(of)


def test_two_histories_under_our_key_end_all_writing(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        key = await published(network, folder)
        shutil.copytree(folder / "old", folder / "2")
        async with node(network, folder / "2", "10.0.0.2") as two:
            # A copy of the whole data folder elsewhere, which knows nothing of the first one.
            theirs = two.library.find(key.hex)
            for number in range(4):
                await put(two, theirs, f"/other-{number}", b"x")
            async with node(network, folder / "1") as one:
                ours = await back(one, key, two)
                await until(lambda: ours.record.conflict is not None)
                with pytest.raises(Forked):
                    await put(one, ours, "/d", b"d")
                view = await ours.view()
                assert (view.writable, view.version) == (False, 3)
                assert view.conflict is not None
                assert view.conflict.kept is not None
                for proof in (view.conflict.kept, view.conflict.refused):
                    assert crypto.verify(
                        bytes.fromhex(proof.root_hash), bytes.fromhex(proof.signature), key.raw
                    )
                assert await read(ours, "/c") == b"c" * 100_000

    told(of)


def test_a_liar_holds_writing_up_for_seconds_only(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            ours = await one.library.create()
            await put(one, ours, "/a", b"a")
            await two.seeding(ours.key, one)
            async with ours.opened():
                live = opened(ours).metadata
                for exchange in live.exchanges:
                    exchange.remote.have(500, 1)
                    live.picker.announced(exchange.remote)
                loop = asyncio.get_running_loop()
                before = loop.time()
                assert await put(one, ours, "/b", b"b") == 2
                assert loop.time() - before < 11
                before = loop.time()
                assert await put(one, ours, "/c", b"c") == 3
                assert loop.time() - before < 1
            assert content_of(ours).feed.length == 3

    told(of)


def test_what_only_the_lane_knows_to_be_lost_does_not_stop_the_loop(told):
    async def of(network: MemoryNetwork, folder: Path) -> None:
        async with node(network, folder / "1") as one:
            ours = await one.library.create()
            await put(one, ours, "/a", b"a")
            async with ours.opened() as there:
                history = OwnHistory(there, None)
                history.certain = True
                metadata = there.metadata

                async def clear() -> None:
                    await there.clear(metadata, [(1, 2)])

                clearing = one.services.spawn(clear())
                await asyncio.wait([clearing], timeout=0)
                while metadata.feed.present_blocks == metadata.feed.length:
                    if there.lane.idle:
                        await asyncio.sleep(0)  # the catalogue is told before the lane
                    else:
                        time.sleep(0.001)  # noqa: ASYNC251  the loop is not to hear of it yet
                assert 1 in metadata.picker.have
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await history.settle(grown=True, reachable=False)
                assert 1 not in metadata.picker.have
                await clearing

    told(of)
