"""Limits of bandwidth as peers notice them: whole libraries, in virtual time."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.helpers.libraries import node, opened, source, state, until
from tests.helpers.raw_peer import calling
from tests.helpers.virtual_time import in_virtual_time

from datd.hosting.batches import Served
from datd.hosting.toll import SERVE_BYTES, Toll
from datd.replication.request_queue import QUEUE_LIMIT
from datd.replication.window import BYTES_IN_FLIGHT
from datd.swarm.peer import Mark
from datd.transport.bandwidth import Bandwidth
from datd.transport.bucket import Account
from datd.varint import encode
from datd.wire.messages import Data, Have, Request, Unhave

BLOCK = 64_000


def made_of(blocks: int, name: str = "big"):
    """An archive of so many blocks, each of another content."""
    return source({name: [n.to_bytes(4, "big") * (BLOCK // 4) for n in range(blocks)]})


async def seconds_to_seed(archive) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(lambda: state(archive) == "seeding", 3600)
    return loop.time() - began


def blocks(archive) -> int:
    """How many of the content are here."""
    content = opened(archive).content
    return len(list(content.feed.have.search(1))) if content is not None else 0


def only_metadata(peer, feed, request):
    return peer.honest(feed, request) if feed == 0 else None


def troubles(archive) -> list[str]:
    """What was wrong with peers, and connections beyond the first."""
    found = []
    for peer in archive.peers():
        found += [text for text in (peer.dropped, peer.last_error) if text]
        found += ["came again"] * (peer.marks.get(Mark.HANDSHAKES.value, 0) > 1)
    return found


@pytest.mark.parametrize("way", ["upload", "download"])
def test_a_mirror_takes_as_long_as_the_limit_says(told, way):
    async def of(network, folder):
        made = made_of(100)
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            made.plant(one)
            await one.seeding(made.key)
            limited = one if way == "upload" else two
            getattr(limited.services.bandwidth, way).set(100_000)
            archive = await two.add(made.key, one)
            # 6.4 MB, of which the first second's are free.
            assert 62 < await seconds_to_seed(archive) < 69
            assert troubles(archive) == []

    told(of)


def test_a_limit_changes_under_way(told):
    async def of(network, folder):
        made = made_of(100)
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            made.plant(one)
            await one.seeding(made.key)
            one.services.bandwidth.upload.set(16_000)
            archive = await two.add(made.key, one)
            await asyncio.sleep(40)
            have = blocks(archive)
            assert 5 < have < 15
            one.services.bandwidth.upload.set(None)
            assert await seconds_to_seed(archive) < 2
            assert troubles(archive) == []

    told(of)


def test_l3_l16_nobody_is_cut_or_asked_again_elsewhere_since_we_read_slowly(told):
    """All have everything; each gets a turn a minute, and what is under way fills several."""

    async def of(network, folder):
        made = source({"big": [bytes([n]) * 600_000 for n in range(8)]})
        async with node(network, folder) as here, AsyncExitStack() as stack:
            here.services.bandwidth.download.set(16_000)
            archive = await here.add(made.key)
            peers = []
            for number in range(3):
                call = calling(here, *made.feeds, host=f"203.0.{number}.1")
                peers.append(await stack.enter_async_context(call))
            took = await seconds_to_seed(archive)
            # 4.8 MB; what was read last is not paid yet.
            assert 220 < took < 320
            asked = [block for peer in peers for block in peer.asked(1)]
            assert sorted(asked) == list(range(8))
            assert not any(peer.ended for peer in peers)
            assert troubles(archive) == []

    told(of)


def test_t23_who_only_talks_does_not_keep_blocks_from_others_however_slowly_we_read(told):
    async def of(network, folder):
        made = made_of(20)

        async def talk(peer):
            # A bitfield that could be shorter: 10,000 bytes as they are, the first 20 bits are set.
            words = Have(0, 80_000, encode(10_000 << 1) + b"\xff\xff\xf0" + bytes(9_997))
            while not peer.ended:
                await peer.say(1, words)

        async with node(network, folder) as here:
            here.services.bandwidth.download.set(100_000)
            archive = await here.add(made.key)
            liar = calling(here, *made.feeds, host="203.0.113.1", answer=only_metadata)
            honest = calling(here, *made.feeds, host="203.0.113.2")
            async with liar as peer, asyncio.TaskGroup() as group:
                await until(lambda: len(peer.asked(1)) >= 3, 60)
                talking = group.create_task(talk(peer))
                async with honest:
                    await until(lambda: state(archive) == "seeding", 300)
                talking.cancel()

    told(of)


def test_readers_share_an_upload_limit_and_nobody_starves(told):
    async def of(network, folder):
        made = made_of(30)
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(node(network, folder / "one"))
            made.plant(one)
            await one.seeding(made.key)
            one.services.bandwidth.upload.set(100_000)
            archives = []
            for number in range(4):
                reader = node(network, folder / str(number), f"10.0.2.{number + 1}")
                archives.append(await (await stack.enter_async_context(reader)).add(made.key, one))
            await asyncio.sleep(40)
            have = [blocks(archive) for archive in archives]
            assert max(have) - min(have) <= 4
            # 7.7 MB in all.
            await until(lambda: all(state(archive) == "seeding" for archive in archives), 60)
            assert [troubles(archive) for archive in archives] == [[]] * 4

    told(of)


def test_words_do_not_wait_behind_the_blocks_of_others(told):
    async def of(network, folder):
        made = made_of(100)
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            made.plant(one, blocks=range(90))
            archive = await one.add(made.key)
            one.services.bandwidth.upload.set(16_000)
            mirror = await two.add(made.key, one)
            await asyncio.sleep(30)
            async with calling(one, *made.feeds, claims=[[], []]) as peer:
                # Each of them is answered with an Unhave.
                began = asyncio.get_running_loop().time()
                await peer.say(1, *[Request(95)] * 3)
                await until(lambda: sum(isinstance(m, Unhave) for _, m in peer.heard) >= 3)
                assert asyncio.get_running_loop().time() - began < 1
                assert blocks(mirror) < 20
                assert len(opened(archive).connections) == 2

    told(of)


def test_l3_keep_alives_go_out_while_answers_wait(told):
    async def of(network, folder):
        made = source({"huge": [bytes(2_000_000)]})
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            here.services.bandwidth.upload.set(16_000)
            async with calling(here, *made.feeds) as peer:
                await peer.say(1, Request(0))
                loop = asyncio.get_running_loop()
                began, last, longest = loop.time(), loop.time(), 0.0
                while not peer.got(1):
                    before = peer.received
                    await asyncio.sleep(0.1)
                    if peer.received != before:
                        longest, last = max(longest, loop.time() - last), loop.time()
                assert loop.time() - began > 100
                assert longest < 3.5

    told(of)


def test_l12_who_asks_for_more_than_is_answered_under_a_limit_keeps_no_processor_busy(told):
    """If reader and pump woke each other on and on, no time would pass here."""

    async def of(network, folder):
        made = made_of(40)
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            here.services.bandwidth.upload.set(16_000)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: peer.heard)
                asked = [Request(n % 40, bytes=1 + n * 50) for n in range(3 * QUEUE_LIMIT)]
                await peer.say(1, *asked)
                answers = 0
                for _ in range(6):
                    before, answers = answers, sum(isinstance(m, Data) for _, m in peer.heard)
                    assert answers > before or not before
                    await asyncio.sleep(10)
                assert not peer.ended

    told(of)


# ---- the book itself


def served(size: int):
    async def answers() -> Served:
        return Served(frames=bytes(size))

    return answers()


async def test_without_limits_nothing_waits():
    toll = Toll(Bandwidth())
    assert (toll.batch, toll.in_flight) == (SERVE_BYTES, BYTES_IN_FLIGHT)
    toll.received(10**9)
    toll.sent(10**9)
    await toll.announced(served(10**6))
    assert not toll.reading_waits
    assert not toll.answers_wait
    toll.close()


def test_what_was_announced_is_paid_once():
    async def story():
        bandwidth = Bandwidth()
        bandwidth.upload.set(1_000_000)
        toll = Toll(bandwidth)
        await toll.announced(served(1_000_000))
        waits = [toll.answers_wait]
        for size in (600_000, 400_000, 100_000):
            toll.sent(size)
            waits.append(toll.answers_wait)
        assert waits == [False, False, False, True]

    in_virtual_time(story())


def test_what_was_announced_and_never_sent_is_nobodys_debt():
    async def story():
        bandwidth = Bandwidth()
        bandwidth.upload.set(1_000_000)
        toll = Toll(bandwidth)
        await toll.announced(served(9_000_000))
        assert bandwidth.upload.waiting == 1
        toll.close()
        assert bandwidth.upload.waiting == 0

    in_virtual_time(story())


def test_words_that_were_sent_are_paid_though_the_peer_is_gone():
    async def story():
        bandwidth = Bandwidth()
        bandwidth.upload.set(16_000)
        toll = Toll(bandwidth)
        toll.sent(10**6)
        toll.close()
        assert bandwidth.upload.waiting == 1

    in_virtual_time(story())


async def test_batches_and_requests_are_smaller_under_a_limit():
    bandwidth = Bandwidth()
    toll = Toll(bandwidth)
    bandwidth.upload.set(16_000)
    bandwidth.download.set(16_000)
    assert toll.batch == 64 * 1024
    assert toll.in_flight == 32_000
    bandwidth.upload.set(1_000_000)
    assert toll.batch == 250_000
    bandwidth.upload.set(10**9)
    bandwidth.download.set(10**9)
    assert (toll.batch, toll.in_flight) == (SERVE_BYTES, BYTES_IN_FLIGHT)


def test_who_waits_for_what_somebody_else_counts_goes_on_when_that_is_paid():
    async def story():
        bandwidth = Bandwidth()
        bandwidth.download.set(1_000_000)
        account = Account(lambda: None)
        toll = Toll(bandwidth, counted=account)
        bandwidth.download.owe(account, 1_100_000)
        toll.received(10**9)
        assert toll.reading_waits
        async with asyncio.timeout(30):
            await toll.may_read()
        assert account.owed == 0

    in_virtual_time(story())


def test_who_makes_us_say_more_than_it_takes_is_not_read():
    async def story():
        bandwidth = Bandwidth()
        bandwidth.upload.set(16_000)
        toll = Toll(bandwidth)
        toll.sent(21 * 2**20)
        assert toll.reading_waits
        bandwidth.upload.set(None)
        async with asyncio.timeout(30):
            await toll.may_read()

    in_virtual_time(story())
