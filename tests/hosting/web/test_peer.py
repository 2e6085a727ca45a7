import pytest
from tests.helpers.libraries import node, source
from tests.helpers.network import MemoryNetwork
from tests.helpers.sites import LOOPBACK, Site, put
from yarl import URL

from datd.errors import WebError
from datd.hosting.web.client import WebClient, WebHost
from datd.hosting.web.peer import WebPeer
from datd.hosting.web.pipe import pipe
from datd.types import Address
from datd.wire.messages import Data, Have, Request, Unhave, Want
from datd.wire.session import MessageReceived, Session

MADE = source()


@pytest.fixture
def idle():
    """Seconds without a request after which a conversation ends."""
    return 300.0


@pytest.fixture
async def talk(tmp_path, idle):
    """A conversation with a web server, whose near end is the test's own."""
    put(MADE, tmp_path / "site")
    async with (
        Site(tmp_path / "site").serving() as site,
        node(MemoryNetwork(), tmp_path / "a") as one,
    ):
        archive = await one.add(MADE.key)
        client = WebClient(allow=(LOOPBACK,))
        async with archive.opened() as opened:
            near, far = pipe("http", Address("127.0.0.1", 80))
            clock = one.services.clock
            peer = WebPeer(
                far, WebHost(client), URL(site.url), opened, MADE.key,
                clock=clock, bad_block=lambda _: None, idle=idle,
            )  # fmt: skip
            yield site, one, near, peer
        await client.close()


async def test_it_speaks_the_protocol_and_answers_from_the_server(talk):
    _, one, near, peer = talk
    clock = one.services.clock
    await peer.begin()
    one.services.spawn(peer.run())
    session = Session(nonce=b"n" * 24, peer_id=b"p" * 32, now=clock())
    number = session.open(MADE.key)
    session.send(number, Want(0, 2**20))
    for index in (0, 1, 2):
        session.send(number, Request(index))
    session.send(number, Request(99))
    session.send(number, Request(3, hash=True))
    await near.write(session.data_to_send())
    heard: list[object] = []
    while len(heard) < 6:
        data = await near.read()
        assert data, peer.error
        session.receive_data(data, clock())
        heard += [e.message for e in session.events_received() if isinstance(e, MessageReceived)]
    assert any(isinstance(one, Have) and one.length == 2**20 for one in heard)
    assert Unhave(99) in heard
    values = {one.index: one.value for one in heard if isinstance(one, Data)}
    assert values == {n: MADE.metadata.get(n) for n in (0, 1, 2)} | {3: None}
    near.close()


@pytest.mark.parametrize("idle", [1.0])
async def test_it_ends_when_nobody_asks(talk):
    _, _, near, peer = talk
    await peer.begin()
    await peer.run()
    while await near.read():
        pass
    assert peer.error is None


async def test_a_server_without_the_archive_is_told_of(talk):
    site, _, _, peer = talk
    (site.folder / ".dat" / "metadata.signatures").unlink()
    with pytest.raises(WebError):
        await peer.begin()
