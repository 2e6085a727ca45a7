"""The network wing as the daemon puts it together: what speaks with whom, and what is shown."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from datd import config
from datd.errors import StorageError
from datd.networking import Networking

# BEP 5: the smallest question, and what is in every answer to it.
PING = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"
ANSWER = b"1:t2:aa1:y1:re"
A_FIRST_NODE = "127.0.0.1:9"


def made(folder: Path, discovery: dict[str, list[str]], host: str = "127.0.0.1") -> Networking:
    async def serve(connection: object) -> None:
        raise AssertionError("nobody calls")

    (folder / "datd.toml").write_text("")
    settings = config.load(
        folder / "datd.toml", {"swarm": {"host": host, "port": 0}, "discovery": discovery}
    )
    return Networking(settings, serve=serve, peer_id=b"p" * 32, dht_state=folder / "dht-nodes")


@asynccontextmanager
async def running(folder: Path, **discovery: list[str]) -> AsyncIterator[tuple[Networking, int]]:
    networking = made(folder, discovery)
    async with asyncio.TaskGroup() as group:
        port = await networking.start(group.create_task)
        try:
            yield networking, port
        finally:
            await networking.close()


async def pinged(port: int, *, seconds: float) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.connect(("127.0.0.1", port))
        await loop.sock_sendall(stranger, PING)
        return await asyncio.wait_for(loop.sock_recv(stranger, 1500), seconds)


async def test_without_a_first_node_strangers_do_not_draw_us_into_their_dht(tmp_path):
    async with running(tmp_path, networks=["dns", "dht"]) as (networking, port):
        assert networking.names == ["dns", "dht"]  # archives may choose it all the same
        with pytest.raises(TimeoutError):
            await pinged(port, seconds=1)
        shown = {view.name: view for view in networking.views()}
        assert (shown["dht"].working, "dht_bootstrap" in shown["dht"].remark) == (None, True)
        assert (shown["dns"].working, "dns_servers" in shown["dns"].remark) == (None, True)


async def test_with_a_first_node_we_are_a_node_like_any_other(tmp_path):
    async with running(tmp_path, networks=["dht"], dht_bootstrap=[A_FIRST_NODE]) as (it, port):
        assert (await pinged(port, seconds=30)).endswith(ANSWER)
        dht = it.views()[0]
        assert (dht.name, dht.numbers["answered"]) == ("dht", 1)


async def test_what_the_settings_leave_out_is_neither_started_nor_shown(tmp_path):
    async with running(tmp_path, networks=[]) as (networking, port):
        assert networking.names == []
        assert [view.name for view in networking.views()] == ["tcp", "utp"]
        assert port > 0


async def test_an_address_that_is_not_ours_is_said_and_everything_ends(tmp_path):
    networking = made(tmp_path, {"networks": ["dns", "dht"]}, "192.0.2.7")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        with pytest.raises(StorageError, match=r"192\.0\.2\.7 .*swarm\.host"):
            await networking.start(group.create_task)
        await networking.close()


async def test_the_dhts_memory_is_on_the_disk_when_everything_has_ended(tmp_path):
    async with running(tmp_path, networks=["dht"], dht_bootstrap=[A_FIRST_NODE]):
        assert not (tmp_path / "dht-nodes").exists()
    assert (tmp_path / "dht-nodes").stat().st_mode & 0o777 == 0o600
    first = (tmp_path / "dht-nodes").read_bytes()
    async with running(tmp_path, networks=["dht"], dht_bootstrap=[A_FIRST_NODE]):
        pass
    assert (tmp_path / "dht-nodes").read_bytes() == first
