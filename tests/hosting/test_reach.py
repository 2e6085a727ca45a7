"""What an archive tells the swarm, as other hosts and the next start of the daemon notice it."""

from tests.helpers.libraries import PORT, node, source, until
from tests.helpers.sessions import key_named

from datd.catalogue import MAX_GOOD_PEERS
from datd.hosting.changes import Changes
from datd.hosting.reach import Reach
from datd.records import GoodPeer, Record
from datd.swarm.limits import GOOD_FOR
from datd.types import Address


def joined(network):
    """Which archives are announced by whom."""
    return {(one._host, key) for one in network.discoveries for key in one._names}


def test_good_peers_are_tried_first_after_a_restart_with_nobody_to_tell_of_them(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder / "seed", "10.0.0.2") as seed:
            made.plant(seed)
            await seed.seeding(made.key)
            async with node(network, folder / "mirror") as mirror:
                archive = await mirror.seeding(made.key, seed)
                archive.record.peers.clear()
                await mirror.catalogue.save([archive.record])
            network.dials.clear()
            async with node(network, folder / "mirror") as mirror:
                archive = mirror.library.find(made.key.hex)
                assert archive.record.peers == []
                (known,) = archive.record.good_peers
                assert (known.address, known.useful) == (Address("10.0.0.2", PORT), True)
                await until(lambda: (archive.in_use and archive.peers()[0].state) == "connected")
                assert [to for _, to, _ in network.dials] == [Address("10.0.0.2", PORT)]

    told(of)


def test_good_peers_of_earlier_times_are_not_forgotten_in_an_outage(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            now = here.services.wall_clock()
            peers = [GoodPeer(Address("10.0.0.9", n), "tcp", now - n * 60) for n in range(1, 40)]
            old = GoodPeer(Address("10.0.0.8", 1), "tcp", now - GOOD_FOR - 60, useful=True)
            useful = GoodPeer(Address("10.0.0.8", 2), "utp", now - 9999, useful=True)
            record = Record(key_named("a"), added_at=1.0, good_peers=[*peers, old, useful])
            reach = Reach(record, here.services)
            reach.note_good_peers()
            assert record.good_peers == [useful, *peers[: MAX_GOOD_PEERS - 1]]

    told(of)


def test_networks_are_obeyed_from_the_start_and_when_they_are_changed(told):
    async def of(network, folder):
        key = key_named("a")
        name = key.discovery_key.raw
        async with node(network, folder, discovers=True) as here:
            archive, _ = await here.library.add(key, networks=[])
            assert joined(network) == set()
            assert (await archive.view()).networks == []
            await here.library.change(archive, Changes({"networks": None}))
            assert joined(network) == {("10.0.0.1", name)}
            assert (await archive.view()).networks == ["memory"]
            await here.library.change(archive, Changes({"networks": []}))
            assert joined(network) == set()
            await archive.pause()
            await here.library.change(archive, Changes({"networks": ["memory"]}))
            assert joined(network) == set()
            await archive.resume()
            assert joined(network) == {("10.0.0.1", name)}
        network.discoveries.clear()
        async with node(network, folder, discovers=True) as here:
            assert here.library.find(key.hex).record.networks == ["memory"]
            assert joined(network) == {("10.0.0.1", name)}

    told(of)


def test_a_stored_network_that_this_daemon_does_not_have_is_left_out(told):
    async def of(network, folder):
        async with node(network, folder, discovers=True) as here:
            archive, _ = await here.library.add(key_named("a"), networks=["dht", "memory"])
            assert (await archive.view()).networks == ["memory"]

    told(of)


def test_the_swarm_knows_whether_an_archive_misses_blocks(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "seed", "10.0.0.2") as seed,
            node(network, folder / "mirror") as mirror,
        ):
            made.plant(seed)
            await seed.seeding(made.key)
            hungry = mirror.services.swarm._hungry
            archive = await mirror.add(made.key)
            assert made.key.discovery_key.raw in hungry
            await archive.pause()
            await archive.resume()
            assert made.key.discovery_key.raw in hungry
            await archive.add_peer(seed.address)
            await until(lambda: archive.state == "seeding")
            assert not hungry
            await archive.pause()
            await archive.resume()
            assert not hungry
            await until(lambda: archive.peers()[0].state == "connected")
        async with node(network, folder / "mirror") as mirror:
            assert not mirror.services.swarm._hungry

    told(of)
