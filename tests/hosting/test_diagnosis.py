import asyncio
import os
import time

import pytest
from tests.helpers.api import running_api
from tests.helpers.busy_disks import not_judged_by_speed

from datd.hosting.diagnosis import (
    diagnose,
    discovery,
    in_time,
    is_alone,
    reachable,
    state_of,
    taken,
    transports,
)
from datd.hosting.views import NetworkPart, NetworkView, PeerView
from datd.records import Conflict, Signed
from datd.types import Address

KEY = "a" * 64
HOUR = 3_600.0


def states(findings):
    return [(finding.check, finding.state) for finding in findings]


def test_no_network_but_the_local_one_is_a_warning():
    unused = [
        NetworkView("mdns", "discovery", True),
        NetworkView("dns", "discovery", None),
        NetworkView("dht", "discovery", None),
    ]
    (finding,) = discovery(unused)
    assert finding.state == "warn"
    assert "discovery.dns_servers" in finding.advice
    assert states(discovery([])) == [("discovery", "warn")]


def test_networks_that_do_not_answer_are_named():
    parts = [NetworkPart("a.example", True), NetworkPart("b.example:5300", False)]
    some = [
        NetworkView("mdns", "discovery", True),
        NetworkView("dns", "discovery", True, parts=parts),
    ]
    (finding,) = discovery(some)
    assert (finding.state, "b.example:5300" in finding.text) == ("warn", True)
    dead = [
        NetworkView("mdns", "discovery", True),
        NetworkView("dns", "discovery", False, parts=[NetworkPart("b.example", False)]),
        NetworkView("dht", "discovery", False, numbers={"lookups": 3}),
    ]
    assert states(discovery(dead)) == [
        ("discovery", "warn"), ("discovery", "warn"), ("discovery", "fail"),
    ]  # fmt: skip
    well = [NetworkView("dht", "discovery", True, numbers={"nodes": 8})]
    assert states(discovery(well)) == [("discovery", "ok")]


def test_a_transport_that_does_not_work_is_noticed():
    both = [NetworkView("tcp", "transport", True), NetworkView("utp", "transport", False)]
    assert transports(both)[0].state == "warn"
    assert transports([NetworkView("tcp", "transport", False)])[0].state == "fail"
    assert transports([NetworkView("tcp", "transport", True)])[0].state == "ok"


def caller(**fields):
    return PeerView(KEY, Address("192.0.2.7", 4000), "inbound", "connected", **fields)


@pytest.mark.parametrize(
    ("views", "peers", "uptime", "state"),
    [
        ([], [], 60.0, "ok"),
        ([], [], 2 * HOUR, "warn"),
        ([], [caller(initiator=False)], 2 * HOUR, "ok"),
        ([NetworkView("port mapping", "gateway", True, "others reach us at x")], [], HOUR, "ok"),
        ([NetworkView("port mapping", "gateway", False)], [], 60.0, "warn"),
    ],
)
def test_a_port_that_nobody_reaches_is_suspected(views, peers, uptime, state):
    finding = reachable(views, 3282, peers, uptime)
    assert finding.state == state
    assert "3282" in finding.text
    assert ("firewall" in finding.advice) == (state == "warn")


@pytest.mark.parametrize("wanted", [0, 3282])
def test_a_port_that_we_have_as_it_was_wanted_is_not_spoken_of(wanted):
    assert taken(wanted, 3282) is None


async def test_a_port_that_somebody_else_has_is_warned_of(tmp_path):
    async with running_api(tmp_path) as api, api.client() as dat:
        services = api.library.services
        services.wanted_port, services.port = 3282, 45831
        (finding,) = [one for one in (await dat.diagnosis()).findings if one.check == "port"]
    assert finding.state == "warn"
    assert finding.text == "port 3282 was taken when datd started: peers reach us at 45831"
    assert "3282" in finding.advice


def test_where_others_see_us_is_told():
    view = NetworkView("public address", "gateway", None, "203.0.113.5:41000")
    assert "203.0.113.5:41000" in reachable([view], 3282, [], 2 * HOUR).text


async def test_archives_in_trouble_are_named(tmp_path):
    async with running_api(tmp_path) as api, api.client() as dat:
        await dat.add(KEY, name="recipes")
        library = api.library
        assert states(state_of(library.archives(), time.time())) == [("archives", "ok")]
        archive = library.find("recipes")
        archive.error = "disk on fire"
        (finding,) = state_of(library.archives(), time.time())
        assert finding.state == "fail"
        assert finding.text == "recipes is in error: disk on fire"
        archive.error = None
        archive.record.conflict = Conflict("ab" * 32, None, Signed(1, "aa", "bb"))
        (finding,) = state_of(library.archives(), time.time())
        assert (finding.state, "two histories" in finding.text) == ("fail", True)


async def test_of_very_many_archives_in_trouble_only_some_are_named(tmp_path):
    async with running_api(tmp_path) as api, api.client() as dat:
        for number in range(12):
            await dat.add(f"{number:064x}")
        for archive in api.library.archives():
            archive.error = "x"
        found = state_of(api.library.archives(), time.time())
        assert len(found) == 11
        assert found[-1].text == "2 more archives in error"


async def test_an_archive_that_nobody_else_has_is_in_danger(tmp_path):
    async with running_api(tmp_path) as api, api.client() as dat:
        await dat.create(name="mine")
        archive = api.library.find("mine")
        week = 8 * 86_400.0
        assert not is_alone(archive, time.time())
        assert is_alone(archive, time.time() + week)
        (finding,) = state_of(api.library.archives(), time.time() + week)
        assert (finding.state, "mine" in finding.text) == ("warn", True)
        archive.record.last_peer_at = time.time() + week
        assert not is_alone(archive, time.time() + week)


async def test_a_daemon_that_is_well_has_no_failures(tmp_path, monkeypatch):
    not_judged_by_speed(monkeypatch)
    async with running_api(tmp_path) as api:
        found = await diagnose(api.library)
        assert {"clock", "disk", "permissions", "open files", "port"} <= {f.check for f in found}
        assert [finding for finding in found if finding.state == "fail"] == []


async def test_a_disk_that_hangs_does_not_hold_up_the_answer(tmp_path):
    pipe = tmp_path / "hangs"
    os.mkfifo(pipe)

    def look():
        with pipe.open("rb"):
            return []

    async with asyncio.timeout(30):
        (finding,) = await in_time(look, tmp_path, seconds=0.1)
    assert (finding.check, finding.state) == ("disk", "fail")
    with pipe.open("wb"):
        pass  # lets the thread end


async def test_a_fault_of_a_check_is_not_swallowed(tmp_path):
    def look():
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="fault of ours"):
        await in_time(look, tmp_path, seconds=300)
