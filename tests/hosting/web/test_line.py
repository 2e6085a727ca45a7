import pytest

from datd.hosting.web.line import WebLine
from datd.hosting.web.pipe import pipe
from datd.swarm.peer import Peer, PeerView, State
from datd.swarm.roster import Refused
from datd.types import Address

THERE = Address("192.0.2.1", 443)


async def test_marks_and_faults_are_kept_of_the_source():
    peer = Peer(b"n" * 32, THERE, "web")
    near, _ = pipe("https", THERE)
    line = WebLine(near, peer, own_id=b"o" * 32, clock=lambda: 5.0)
    view = PeerView.of(peer)
    assert (view.state, view.kind, view.connection) == ("connected", "https", line)
    line.handshaken(b"r" * 32)
    line.delivered(3, 300)
    line.distrust(b"f" * 32, 7)
    line.over()
    assert peer.marks == {"handshakes": 1, "good_blocks": 3, "good_bytes": 300}
    assert peer.distrusted == {(b"f" * 32, 7)}
    assert (peer.state, peer.connection, peer.last_success) == (State.WAITING, None, 5.0)


async def test_this_daemon_itself_is_no_source():
    near, _ = pipe("ws", THERE)
    line = WebLine(near, Peer(b"n" * 32, THERE, "web"), own_id=b"o" * 32, clock=lambda: 0.0)
    with pytest.raises(Refused):
        line.handshaken(b"o" * 32)
