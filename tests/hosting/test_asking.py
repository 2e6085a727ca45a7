import asyncio
from collections.abc import Sequence

from tests.helpers.libraries import content_of, node, opened, read, source, until
from tests.helpers.raw_peer import RawPeer, calling

from datd.crypto import leaf_hash
from datd.hosting.live_feed import LiveFeed
from datd.wire.messages import Data, Request

FILES: dict[str, Sequence[bytes]] = {"file": [b"block %03d" % n * 100 for n in range(401)]}


def ask_for_all_hashes(live: LiveFeed, length: int) -> list[int]:
    """Hold all blocks of a feed back, have their hashes asked for; whose hashes came."""
    told: list[int] = []
    live.on_hashes = told.extend
    live.picker.hold(range(length))
    live.picker.ask_hashes(range(length))
    live.ask_all()
    return told


def giving(peer: RawPeer, feed: int, request: Request) -> Data | None:
    """What the original answers, hashes included."""
    if not request.hash:
        return peer.honest(feed, request)
    proof = peer.feeds[feed].proof(request.index, digest=request.nodes, hash_only=True)
    return Data(request.index, None, proof.nodes, proof.signature)


def test_hashes_come_before_their_blocks_and_for_few_bytes(told):
    async def of(network, folder):
        made = source(FILES)
        blocks = FILES["file"]
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with archive.opened(), calling(here, made.metadata, answer=giving):
                await until(lambda: opened(archive).content is not None)
                live = content_of(archive)
                asked_for = ask_for_all_hashes(live, 401)
                async with calling(here, *made.feeds, host="203.0.113.4", answer=giving) as peer:
                    await until(lambda: len(asked_for) == 401)
                    asked = [m for at, m in peer.heard if at == 1 and isinstance(m, Request)]
                    assert all(request.hash for request in asked)
                    assert len(asked) == 200  # a neighbour comes along, and the last is a root
                    assert [live.feed.leaf_hash(n) for n in range(401)] == [
                        leaf_hash(block) for block in blocks
                    ]
                    assert not any(live.feed.have)
                    assert not live.picker.idle
                    # 128 under way draw some nodes more than once, but not many.
                    answers = [giving(peer, 1, request) for request in asked]
                    sent = sum(len(answer.nodes) for answer in answers if answer is not None)
                    assert sent < 401 * 6
                    live.picker.release(range(401))
                    live.ask_all()
                    await until(lambda: archive.state == "seeding")
                    assert await read(archive, "/file") == made.files["/file"]

    told(of)


def test_hashes_that_are_known_are_not_asked_for(told):
    async def of(network, folder):
        made = source(FILES)
        async with node(network, folder) as here:
            made.plant(here, blocks=range(0, 401, 40))
            archive = await here.add(made.key)
            async with archive.opened():
                await until(lambda: opened(archive).content is not None)
                live = content_of(archive)
                live.picker.want([])
                asked_for = ask_for_all_hashes(live, 80)
                async with calling(here, *made.feeds, answer=giving) as peer:
                    await until(lambda: len(asked_for) == 80)
                    assert sorted(asked_for) == list(range(80))
                    asked = peer.asked(1)
                    assert asked
                    assert not {0, 1, 40, 41} & set(asked)

    told(of)


def test_t23_a_peer_that_gives_no_hashes_is_left_for_another_and_then_nobody_waits(told):
    async def of(network, folder):
        made = source(FILES)

        def shy(peer: RawPeer, feed: int, request: Request) -> Data | None:
            return None if request.hash else peer.honest(feed, request)

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with archive.opened(), calling(here, made.metadata, answer=giving):
                await until(lambda: opened(archive).content is not None)
                live = content_of(archive)
                asked_for = ask_for_all_hashes(live, 400)
                async with calling(here, *made.feeds, host="203.0.113.4", answer=shy):
                    await until(lambda: len(asked_for) >= 16, seconds=30)
                    assert all(live.feed.leaf_hash(n) is None for n in asked_for)
                    lost = len(asked_for)
                    begun = asyncio.get_running_loop().time()
                    async with calling(here, *made.feeds, host="203.0.113.5", answer=giving):
                        await until(lambda: len(asked_for) == 400, seconds=30)
                        assert asyncio.get_running_loop().time() - begun < 1
                assert sorted(asked_for) == list(range(400))
                assert all(live.feed.leaf_hash(n) is not None for n in asked_for[lost:])

    told(of)


def test_a_wrong_hash_ends_the_connection_and_comes_from_another(told):
    async def of(network, folder):
        made = source(FILES)

        def lying(peer: RawPeer, feed: int, request: Request) -> Data | None:
            answer = giving(peer, feed, request)
            if request.hash and request.index == 8 and answer is not None:
                return Data(8, None, (answer.nodes[0]._replace(hash=bytes(32)), *answer.nodes[1:]))
            return answer

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with archive.opened(), calling(here, made.metadata, answer=giving):
                await until(lambda: opened(archive).content is not None)
                live = content_of(archive)
                asked_for = ask_for_all_hashes(live, 20)
                async with calling(here, *made.feeds, host="203.0.113.4", answer=lying) as liar:
                    await until(lambda: liar.ended)
                async with calling(here, *made.feeds, host="203.0.113.5", answer=giving):
                    await until(lambda: len(asked_for) == 20)
                assert live.feed.leaf_hash(8) == leaf_hash(FILES["file"][8])

    told(of)
