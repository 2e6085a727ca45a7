import ipaddress
import uuid
from collections.abc import AsyncIterator

import pytest
from tests.helpers.daemon import eventually
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from datctl import lan
from datctl.commands.discovering import LISTEN_SECONDS

MARK = uuid.uuid4().hex[:8]
# All of them hear one another on loopback.
pytestmark = pytest.mark.xdist_group("lan")


@pytest.fixture
async def network() -> AsyncIterator[AsyncZeroconf]:
    """Multicast DNS on loopback only: nobody else hears what is said."""
    speaker = AsyncZeroconf(interfaces=["127.0.0.1"])
    yield speaker
    await speaker.async_unregister_all_services()
    await speaker.async_close()


def own(found):
    """Those of this test: others of this host, such as other tests, are on loopback as well."""
    return [one._replace(name=one.name.removeprefix(MARK)) for one in found if MARK in one.name]


async def heard(count):
    """So many of this test. In the time of a person a busy machine may not hear all of them."""

    async def all_of_them():
        found = own(await lan.discover(LISTEN_SECONDS, interfaces=["127.0.0.1"]))
        return found if len(found) >= count else None

    return await eventually(all_of_them, seconds=120)


def service(name, address="127.0.0.1", port=4000, **properties):
    return AsyncServiceInfo(
        lan.SERVICE, f"{MARK}{name}.{lan.SERVICE}", server=f"{name}.local.", port=port,
        addresses=[ipaddress.ip_address(address).packed], properties=properties,
    )  # fmt: skip


async def test_daemons_are_found_with_the_address_to_give(network):
    await network.async_register_service(service("one", version="1.2", tls="0"))
    await network.async_register_service(service("two", port=4001, tls="1"))
    found = await heard(2)
    assert found == [
        lan.Found("one", "http://127.0.0.1:4000", "1.2", "one.local"),
        lan.Found("two", "https://127.0.0.1:4001", "", "two.local"),
    ]


async def test_other_services_are_none_of_ours(network):
    info = AsyncServiceInfo(
        "_http._tcp.local.", f"{MARK}._http._tcp.local.", port=80, addresses=[b"\x7f\0\0\1"]
    )
    await network.async_register_service(info)
    assert own(await lan.discover(0.5, interfaces=["127.0.0.1"])) == []


async def test_t47_what_strangers_announce_is_shown_as_it_is_and_escaped_later(network):
    await network.async_register_service(service("evil", version="\x1b]0;x\x07"))
    (found,) = await heard(1)
    assert found.version == "\x1b]0;x\x07"
