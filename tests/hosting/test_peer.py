import asyncio
import os

import pytest
from tests.helpers.feeds import PAIR, ArchiveWriter, feed_of
from tests.helpers.libraries import (
    content_of,
    node,
    opened,
    read,
    source,
    state,
    until,
)
from tests.helpers.raw_peer import RawPeer, calling
from tests.helpers.sessions import key_named

from datd import crypto
from datd.hosting.peer import FAREWELL_SECONDS, UNSENT_BYTES, WRITE_SECONDS
from datd.replication.request_queue import QUEUE_LIMIT
from datd.swarm.roster import Connection
from datd.types import Address
from datd.wire.messages import Data, Request, encode
from datd.wire.messages import Feed as FeedMessage


def first_frame(discovery_key: bytes) -> bytes:
    return encode(0, FeedMessage(discovery_key, os.urandom(24)))


async def seconds_until_closed(stream) -> tuple[float, bytes]:
    """How long a connection lives on that we only listen to, and what we hear."""
    loop = asyncio.get_running_loop()
    begun, heard = loop.time(), b""
    try:
        while data := await stream.read():
            heard += data
    except OSError:
        pass
    return loop.time() - begun, heard


async def ended(peer: RawPeer) -> None:
    await until(lambda: peer.ended)


def test_t1_who_connects_and_is_silent_is_closed_after_five_seconds(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            stream = await network.host("203.0.113.9")[0].dial(here.address)
            lived, heard = await seconds_until_closed(stream)
            assert 4.9 < lived < 5.2
            assert heard == b""

    told(of)


def test_t1_dripping_bytes_does_not_help(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            stream = await network.host("203.0.113.9")[0].dial(here.address)
            frame = first_frame(made.key.discovery_key.raw)

            async def slowly() -> None:
                for byte in frame[:2]:
                    await stream.write(bytes([byte]))
                    await asyncio.sleep(2)

            async with asyncio.TaskGroup() as group:
                group.create_task(slowly())
                lived, heard = await seconds_until_closed(stream)
            assert 4.9 < lived < 5.2
            assert heard == b""

    told(of)


def test_t1_nor_does_a_first_feed_without_a_handshake(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            stream = await network.host("203.0.113.9")[0].dial(here.address)
            await stream.write(first_frame(made.key.discovery_key.raw))
            lived, heard = await seconds_until_closed(stream)
            assert 4.9 < lived < 5.2
            assert heard  # our Feed and handshake

    told(of)


def test_t3_an_honest_peer_gets_through_a_crowd_of_silent_ones_within_a_second(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            for crowd in range(25):
                for _ in range(12):
                    await network.host(f"203.0.113.{crowd + 20}")[0].dial(here.address)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            async with calling(here, *made.feeds) as peer:
                await peer.say(0, Request(0))
                await until(lambda: peer.got(0))
                assert loop.time() - begun < 1

    told(of)


@pytest.mark.parametrize("state", ["unknown", "paused", "removed", "broken"])
def test_t4_what_is_not_shared_is_closed_without_a_word_whatever_the_reason(told, state):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            if state != "unknown":
                made.plant(here)
                archive = await here.seeding(made.key)
                await here.library.tidy()
                if state == "paused":
                    await archive.pause()
                elif state == "removed":
                    await here.library.remove(archive)
                else:
                    (made.folder(here) / "metadata.key").write_bytes(b"x" * 32)
                    with pytest.raises(Exception, match="another feed"):
                        await archive.stat("/")
            stream = await network.host("203.0.113.9")[0].dial(here.address)
            await stream.write(first_frame(made.key.discovery_key.raw))
            lived, heard = await seconds_until_closed(stream)
            assert heard == b""
            assert lived < 0.02

    told(of)


def test_t5_the_accepting_side_says_nothing_before_the_first_feed(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            stream = await network.host("203.0.113.9")[0].dial(here.address)
            frame = first_frame(made.key.discovery_key.raw)
            await stream.write(frame[:-1])
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(stream.read())
                await asyncio.sleep(1)
                assert not hearing.done()
                await stream.write(frame[-1:])
                assert await hearing

    told(of)


def test_t9_channels_for_keys_we_do_not_have_are_few_and_then_it_is_over(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            strangers = [key_named(f"unknown {n}") for n in range(40)]
            async with calling(here, *made.feeds) as peer:
                await peer.say(0, Request(0))
                await until(lambda: peer.got(0))
                for number, key in enumerate(strangers):
                    frame = encode(10 + number, FeedMessage(key.discovery_key.raw))
                    peer._session.send_encoded(frame)
                await peer.flush()
                await until(lambda: peer.ended)
            (shown,) = archive.peers()
            assert shown.dropped is not None
            assert state(archive) == "seeding"

    told(of)


def test_l12_t17_who_asks_without_listening_is_not_read_any_more_and_then_dropped(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 60000 for n in range(80)]})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            async with calling(here, *made.feeds) as peer:
                await peer.say(1, Request(0))
                await until(lambda: peer.got(1))
                peer.reading.clear()
                flood = [Request(n % 80, bytes=1 + n * 50) for n in range(60 * QUEUE_LIMIT)]
                saying = asyncio.get_running_loop().create_task(peer.say(1, *flood))
                await asyncio.sleep(30)
                (talk,) = opened(archive).connections
                queued = sum(c.exchange.queued for c in talk._channels.values())
                assert queued <= 5 * QUEUE_LIMIT
                assert talk._session.unsent <= 2 * UNSENT_BYTES
                await asyncio.sleep(WRITE_SECONDS + 30)
                assert not opened(archive).connections
                saying.cancel()
            (shown,) = archive.peers()
            assert "took nothing" in (shown.dropped or "")

    told(of)


def test_t17_words_about_what_is_not_here_do_not_pile_up(told):
    async def of(network, folder):
        made = source({"big": [b"%d" % n * 50 for n in range(100)]})
        async with node(network, folder) as here:
            made.plant(here, blocks=range(50))
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, claims=[[], []]) as peer:
                await peer.say(1, Request(0))
                await until(lambda: peer.got(1))
                peer.reading.clear()
                # Each of them is answered with an Unhave.
                flood = b"".join(encode(1, Request(50 + n % 50)) for n in range(2000))

                async def pour() -> None:
                    for _ in range(200):
                        peer._session.send_encoded(flood)
                        await peer.flush()

                async with asyncio.TaskGroup() as group:
                    pouring = group.create_task(pour())
                    await asyncio.sleep(20)
                    (talk,) = opened(archive).connections
                    assert talk._session.unsent < 2 * UNSENT_BYTES
                    assert not pouring.done()
                    pouring.cancel()

    told(of)


def test_t18_blocks_that_nobody_asked_for_are_dropped_and_then_the_peer(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, claims=[[], []]) as peer:
                await until(lambda: peer.heard)
                value, proof = made.metadata.serve(1)
                unasked = Data(1, value, proof.nodes, proof.signature)
                await peer.say(0, *[unasked] * 100)
                await asyncio.sleep(1)
                assert not peer.ended
                assert opened(archive).metadata.feed.length == 0
                await peer.say(0, unasked)
                await until(lambda: peer.ended)
            (shown,) = archive.peers()
            assert "nobody asked" in (shown.dropped or "")

    told(of)


def test_t18_likewise_without_a_value(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, claims=[[], []]) as peer:
                await until(lambda: peer.heard)
                await peer.say(0, *[Data(1, None)] * 101)
                await until(lambda: peer.ended)
            assert opened(archive).metadata.feed.length == 0

    told(of)


def test_t21_l19_who_forges_signatures_is_dropped_banned_and_named(told):
    async def of(network, folder):
        made = source()

        def forged(peer: RawPeer, feed: int, request: Request) -> Data | None:
            data = peer.honest(feed, request)
            assert data is not None
            return Data(data.index, data.value, data.nodes, b"\x01" * 64)

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            for number in range(3):
                async with calling(here, *made.feeds, answer=forged) as peer:
                    await ended(peer)
                assert opened(archive).metadata.feed.length == 0
                shown = archive.peers()[-1]
                assert shown.dropped == f"bad block {number}"
                assert shown.address.host == "203.0.113.9"
                assert shown.state == ("banned" if number == 2 else "gone")
            await asyncio.sleep(3500)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: peer.ended)
                assert not peer.heard
            await asyncio.sleep(200)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: peer.heard)

    told(of)


def test_t21_a_bad_block_is_named_not_kept_and_asked_of_others(told):
    async def of(network, folder):
        made = source()

        def lying(peer: RawPeer, feed: int, request: Request) -> Data | None:
            data = peer.honest(feed, request)
            if data is not None and feed == 1 and request.index == 5:
                return Data(5, b"not what was signed", data.nodes, data.signature)
            return data

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=lying) as peer:
                await until(lambda: peer.ended)
            (shown,) = archive.peers()
            assert shown.dropped == "bad block 5"
            assert not content_of(archive).feed.has(5)
            async with calling(here, *made.feeds, answer=lying) as again:
                await asyncio.sleep(60)
                assert not again.ended
                assert 5 not in again.asked(1)  # decision 2: never asked for that block again
                assert state(archive) == "syncing"
                async with calling(here, *made.feeds, host="203.0.113.10"):
                    await until(lambda: state(archive) == "seeding")
            for path, value in made.files.items():
                assert await read(archive, path) == value

    told(of)


def test_t22_of_another_history_nothing_is_stored_and_the_old_one_is_served(told):
    async def of(network, folder):
        made = source()
        longer = [made.metadata.get(n) for n in range(3)] + [
            b"other entry %d" % n for n in range(4)
        ]
        fork = feed_of(longer, PAIR)
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            length = opened(archive).metadata.feed.length

            def whole_proof(peer: RawPeer, feed: int, request: Request) -> Data:
                value, proof = fork.serve(request.index)
                return Data(request.index, value, proof.nodes, proof.signature)

            async with calling(here, fork, answer=whole_proof) as peer:
                await until(lambda: peer.ended)
            assert opened(archive).metadata.feed.length == length
            (shown,) = archive.peers()
            assert "another history" in (shown.dropped or "")
            assert shown.state != "banned"  # the signature is the author's
            conflict = archive.record.conflict
            assert conflict is not None
            for signed in (conflict.kept, conflict.refused):  # the proof of both is kept
                assert signed is not None
                hash_, signature = bytes.fromhex(signed.root_hash), bytes.fromhex(signed.signature)
                assert crypto.verify(hash_, signature, made.key.raw)
            assert conflict.kept is not None
            assert (conflict.kept.length, conflict.refused.length) == (length, fork.length)
            assert "two histories" in ((await archive.view()).error or "")
            for path, value in made.files.items():
                assert await read(archive, path) == value
            async with calling(here, *made.feeds, host="203.0.113.10") as reader:
                await reader.say(0, Request(length - 1))
                await until(lambda: reader.got(0))
                assert reader.got(0)[length - 1].value == made.metadata.get(length - 1)

    told(of)


def test_t23_l16_what_a_peer_claims_and_never_delivers_is_asked_elsewhere(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=lambda *_: None) as silent:
                await asyncio.sleep(2)
                assert silent.asked(0)
                async with calling(here, *made.feeds, host="203.0.113.10"):
                    await until(lambda: state(archive) == "seeding", 26)

    told(of)


def test_t23_a_peer_that_does_not_take_our_answers_does_not_hold_up_what_it_owes(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 60000 for n in range(64)]})
        async with node(network, folder) as here:
            made.plant(here, blocks=range(32))
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=lambda *_: None) as taker:
                await until(lambda: taker.asked(1))
                taker.reading.clear()
                await taker.say(1, *[Request(n) for n in range(32)])
                await asyncio.sleep(1)
                async with calling(here, *made.feeds, host="203.0.113.10"):
                    await until(lambda: state(archive) == "seeding", 26)
                assert opened(archive).connections  # it was given its time all the same

    told(of)


def test_t24_the_archive_completes_with_fifty_peers_that_claim_and_one_that_has(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with asyncio.TaskGroup() as group:

                async def silent(number: int) -> None:
                    host = f"203.0.113.{number + 20}"
                    async with calling(here, *made.feeds, host=host, answer=lambda *_: None):
                        await asyncio.sleep(3000)

                tasks = [group.create_task(silent(number)) for number in range(50)]
                await asyncio.sleep(5)
                async with calling(here, *made.feeds):
                    await until(lambda: state(archive) == "seeding", 600)
                for task in tasks:
                    task.cancel()
            for path, value in made.files.items():
                assert await read(archive, path) == value

    told(of)


def test_a_request_before_the_handshake_gets_no_answer(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            transport, _ = network.host("203.0.113.9")
            peer = RawPeer(await transport.dial(here.address), made.feeds)
            peer._channels = [peer._session.open(key) for key in peer._keys]
            # Its Feed and Handshake lie in `_outgoing`; the Handshake is cut out.
            outgoing = peer._session._outgoing
            del outgoing[: outgoing[0] + 1]
            await peer.say(0, Request(0))
            await peer.run()
            assert peer.ended
            assert not peer.got(0)

    told(of)


def test_a_fault_of_one_peer_is_not_laid_on_another(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)

            def then_nonsense(peer: RawPeer, feed: int, request: Request) -> Data | None:
                if feed == 1:
                    peer._session._outgoing += b"\xff" * 12  # no varint is so long
                return peer.honest(feed, request)

            async with (
                calling(here, *made.feeds, answer=then_nonsense) as bad,
                calling(here, *made.feeds, host="203.0.113.10") as good,
            ):
                await until(lambda: state(archive) == "seeding")
                assert bad.ended
                assert not good.ended
            shown = {peer.address.host: peer.dropped for peer in archive.peers()}
            assert shown["203.0.113.9"] is not None
            assert shown.get("203.0.113.10") is None

    told(of)


def test_serving_goes_on_while_the_rest_still_arrives(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 20000 for n in range(120)]})
        async with (
            node(network, folder / "a") as a,
            node(network, folder / "b", "10.0.0.2") as b,
            node(network, folder / "c", "10.0.0.3") as c,
            node(network, folder / "d", "10.0.0.4") as d,
        ):
            made.plant(a)
            await a.seeding(made.key)
            middle = await b.add(made.key, a)
            ends = [await c.add(made.key, b), await d.add(made.key, b)]
            await until(lambda: all(state(end) == "seeding" for end in ends))
            assert state(middle) == "seeding"
            for end in ends:
                assert await read(end, "/big") == made.files["/big"]
            assert all(
                c.address.host == peer.address.host or peer.address == b.address
                for peer in ends[0].peers()
            )
            assert b.services.traffic.uploaded.total >= 2 * made.content.byte_length

    told(of)


def test_peers_find_each_other_by_discovery(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "a", "192.168.0.1", discovers=True) as a,
            node(network, folder / "b", "192.168.0.2", discovers=True) as b,
        ):
            made.plant(a)
            await a.seeding(made.key)
            archive = await b.add(made.key)
            await until(lambda: state(archive) == "seeding", 120)
            (known,) = archive.peers()
            assert known.address == Address("192.168.0.1", 3282)

    told(of)


@pytest.mark.parametrize("hosts", [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")])
def test_who_dials_a_peer_it_is_connected_with_learns_where_that_one_listens(told, hosts):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "a", hosts[0]) as a,
            node(network, folder / "b", hosts[1]) as b,
        ):
            name = made.key.discovery_key.raw
            made.plant(a)
            await a.seeding(made.key)
            archive = await b.add(made.key)
            a.services.swarm.add_peer(name, b.address)
            await until(lambda: state(archive) == "seeding")
            assert not b.services.swarm.known_good(name)  # it was called, from some port
            b.services.swarm.add_peer(name, a.address)
            await asyncio.sleep(600)
            (good,) = b.services.swarm.known_good(name)
            assert good.address == a.address
            assert len(network.dials) == 2  # and dials it no more while they are connected
            assert (a.services.swarm.connected, b.services.swarm.connected) == (1, 1)

    told(of)


def test_who_has_ended_and_takes_nothing_is_left_within_seconds(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 60000 for n in range(80)]})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            async with calling(here, *made.feeds) as peer:
                await peer.say(1, Request(0))
                await until(lambda: peer.got(1))
                peer.reading.clear()
                await peer.say(1, *(Request(n) for n in range(1, 80)))
                await asyncio.sleep(1)
                peer.half_close()
                await until(lambda: not opened(archive).connections, FAREWELL_SECONDS + 0.5)
            assert not [shown for shown in archive.peers() if shown.dropped]

    told(of)


def test_who_has_ended_still_gets_what_it_asked_for(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 60000 for n in range(80)]})
        async with node(network, folder) as here:
            made.plant(here)
            await here.seeding(made.key)
            async with calling(here, *made.feeds) as peer:
                await peer.say(1, Request(0))
                await until(lambda: peer.got(1))
                await peer.say(1, *(Request(n) for n in range(1, 80)))
                peer.half_close()
                await ended(peer)
                assert len(peer.got(1)) == 80

    told(of)


def test_a_content_feed_that_was_found_late_is_talked_about_on_the_same_connection(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                assert peer.asked(1)
                assert len(network.dials) == 1

    told(of)


def test_t28_an_archive_that_names_its_own_key_as_content_is_hosted_without_files(told):
    async def of(network, folder):
        writer = ArchiveWriter(content_key=PAIR.public)
        writer.entry("file")
        hostile = writer.archive()
        async with node(network, folder) as here:
            archive = await here.add(hostile.metadata.key)
            async with calling(here, hostile.metadata):
                await until(lambda: archive._opened and opened(archive).metadata.feed.length == 2)
                await asyncio.sleep(1)
                view = await archive.view()
                assert "content feed" in (view.error or "")
                assert view.state == "seeding"

    told(of)


def test_blocks_of_eight_mebibytes_are_served_a_few_at_a_time(told):
    async def of(network, folder):
        large = [os.urandom(2**20) for _ in range(12)]
        made = source({"big": large})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            async with calling(here, *made.feeds) as peer:
                await peer.say(1, Request(0))
                await until(lambda: peer.got(1))
                peer.reading.clear()
                await peer.say(1, *[Request(n) for n in range(12)])
                await asyncio.sleep(5)
                (talk,) = opened(archive).connections
                assert talk._session.unsent <= 2**20
                made_ready = [
                    c.serving.result().size
                    for c in talk._channels.values()
                    if c.serving is not None and c.serving.done()
                ]
                assert sum(made_ready) <= 2**20
                peer.reading.set()
                await until(lambda: len(peer.got(1)) == 12)

    told(of)


def test_a_connection_over_which_small_blocks_go_is_not_idle_and_keep_alives_do_not_count(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            async with calling(here, *made.feeds) as peer:
                now = asyncio.get_running_loop().time
                await asyncio.sleep(100)
                (talk,) = opened(archive).connections
                connection = talk.connection
                assert isinstance(connection, Connection)
                assert connection.idle(now(), 90)
                await peer.say(0, Request(0))
                await until(lambda: peer.got(0))
                assert not connection.idle(now(), 90)

    told(of)
