import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.routers import LOOPBACK, Igd
from tests.helpers.virtual_time import in_virtual_time

from datd.errors import GatewayError, PortTaken
from datd.gateways.upnp import MAX_PAGE, SEARCH_SECONDS, Upnp, encode_search, location_of
from datd.types import Address

GATEWAY = "192.168.1.1"
ANSWER = b"HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: http://192.168.1.1:5000/root.xml\r\n\r\n"


def way(igd: Igd) -> Upnp:
    return Upnp(LOOPBACK, LOOPBACK, Address(LOOPBACK, igd.search_port))


async def test_a_port_is_mapped_and_the_mapping_ended():
    async with Igd().serving() as igd:
        upnp = way(igd)
        assert await upnp.add("tcp", 3282, 8080, 3600) == ("192.0.2.7", 8080, 3600)
        assert igd.mappings == {
            ("tcp", 8080): {
                "NewRemoteHost": "",
                "NewExternalPort": "8080",
                "NewProtocol": "TCP",
                "NewInternalPort": "3282",
                "NewInternalClient": LOOPBACK,
                "NewEnabled": "1",
                "NewPortMappingDescription": "datd",
                "NewLeaseDuration": "3600",
            }
        }
        await upnp.add("udp", 3282, 8080, 3600)
        await upnp.remove("tcp", 3282, 8080)
        assert list(igd.mappings) == [("udp", 8080)]
        # It was searched for and read once.
        assert igd.asked.count("GET /root.xml") == 1
        assert len(igd.searches) == 2


async def test_a_router_that_knows_only_permanent_mappings_gets_such_a_one():
    async with Igd(permanent_only=True).serving() as igd:
        assert (await way(igd).add("tcp", 3282, 3282, 3600)).seconds == 0
        assert igd.mappings["tcp", 3282]["NewLeaseDuration"] == "0"


async def test_what_fails_leaves_no_mapping_behind():
    # Such a one would stay for ever.
    async with Igd(permanent_only=True, tells_address=False).serving() as igd:
        with pytest.raises(GatewayError, match="code 501"):
            await way(igd).add("tcp", 3282, 3282, 3600)
        assert igd.mappings == {}


async def test_a_port_of_another_host_is_told_apart():
    async with Igd(taken={3282}).serving() as igd:
        with pytest.raises(PortTaken):
            await way(igd).add("tcp", 3282, 3282, 3600)
        with pytest.raises(GatewayError, match="code 714"):
            await way(igd).remove("tcp", 3282, 3282)


def test_a_network_without_such_a_router_is_searched_for_seconds():
    async def story() -> None:
        async with Igd(answers=[]).serving() as igd:
            before = asyncio.get_running_loop().time()
            with pytest.raises(GatewayError, match="does not answer"):
                await way(igd).add("tcp", 1, 1, 1)
            assert asyncio.get_running_loop().time() - before == pytest.approx(SEARCH_SECONDS)

    in_virtual_time(story())


def test_who_is_not_the_router_is_not_believed():
    async def story() -> None:
        # 127.0.0.1 answers, and the router would be 127.0.0.2.
        async with Igd(location="http://127.0.0.2:1/root.xml").serving() as igd:
            upnp = Upnp("127.0.0.2", LOOPBACK, Address(LOOPBACK, igd.search_port))
            with pytest.raises(GatewayError, match="does not answer"):
                await upnp.add("tcp", 1, 1, 1)
            assert igd.searches != []
            assert igd.asked == []

    in_virtual_time(story())


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:80/", "https://127.0.0.1/", "http://localhost/", "http://u@127.0.0.1/",
     "file:///etc/passwd", "http://[::1", "http://127.1/", "http://127.0.0.1.example/",
     "/root.xml"],
)  # fmt: skip
def test_t49_a_router_cannot_send_us_elsewhere(location):
    answer = f"HTTP/1.1 200 OK\r\nLocation: {location}\r\n\r\n".encode()
    assert location_of(answer, LOOPBACK) is None


@pytest.mark.parametrize("control", ["http://127.0.0.2:1/control", "http://localhost/control"])
async def test_t49_nor_can_its_description(control):
    async with Igd(control=control).serving() as igd:
        with pytest.raises(GatewayError):
            await way(igd).add("tcp", 1, 1, 1)
        assert not any(asked.startswith("POST") for asked in igd.asked)


async def test_t49_nor_can_a_redirect():
    async with Igd().serving() as igd:
        igd.moved = f"http://localhost:{igd.port}/elsewhere"
        with pytest.raises(GatewayError):
            await way(igd).add("tcp", 1, 1, 1)
        assert igd.asked == ["GET /root.xml"]


async def test_a_router_that_made_no_sense_is_searched_for_anew():
    async with Igd().serving() as igd:
        upnp = way(igd)
        await upnp.add("tcp", 3282, 3282, 3600)
        once = len(igd.searches)
        await upnp.add("tcp", 3282, 3282, 3600)
        assert len(igd.searches) == once
        igd.garbled = True
        with pytest.raises(GatewayError):
            await upnp.add("tcp", 3282, 3282, 3600)
        igd.garbled = False
        await upnp.add("tcp", 3282, 3282, 3600)
        assert len(igd.searches) == 2 * once


@pytest.mark.parametrize(
    "description",
    [
        "<root/>",
        "no xml",
        '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>',
        '<root xmlns="urn:schemas-upnp-org:device-1-0"><device><iconList><icon><width>x</width>'
        "</icon></iconList></device></root>",
        '<root xmlns="urn:schemas-upnp-org:device-1-0"><device/></root>',
        "<a>" * 30_000 + "</a>" * 30_000,
        " " * (MAX_PAGE + 1),
    ],
    ids=["empty", "garbage", "entities", "numbers", "no service", "deep", "long"],
)
async def test_t31_no_description_is_too_odd(description):
    async with Igd(description=description).serving() as igd:
        with pytest.raises(GatewayError):
            await way(igd).add("tcp", 1, 1, 1)


def test_a_search_is_laid_out_as_in_the_standard():
    assert encode_search("urn:x", Address("239.255.255.250", 1900)) == (
        b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
        b'MAN: "ssdp:discover"\r\nMX: 1\r\nST: urn:x\r\n\r\n'
    )


def test_an_answer_says_where_the_router_describes_itself():
    assert location_of(ANSWER, GATEWAY) == "http://192.168.1.1:5000/root.xml"
    assert location_of(ANSWER.replace(b"LOCATION: ", b"location:"), GATEWAY) is not None
    assert location_of(ANSWER.replace(b"HTTP/1.1 200 OK", b"NOTIFY * HTTP/1.1"), GATEWAY) is None
    assert location_of(ANSWER, "192.168.1.2") is None


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda x: ANSWER[:40] + x + b"\r\n"))
def test_t31_no_answer_is_too_odd(datagram):
    location_of(datagram, GATEWAY)
