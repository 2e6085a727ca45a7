from datd.swarm.peer import INBOUND, Mark, Peer, PeerView, State
from datd.types import Address

HERE, CALLER = Address("10.0.0.1", 3282), Address("10.0.0.1", 50123)


def test_a_view_is_a_copy():
    peer = Peer(b"n", HERE, "mdns", marks=Peer(b"n", HERE, "mdns").marks)
    peer.marks[Mark.GOOD_BLOCKS] += 2
    view = PeerView.of(peer)
    peer.marks[Mark.GOOD_BLOCKS] += 1
    assert view.marks == {"good_blocks": 2}
    assert (view.state, view.connected) == ("waiting", False)


def test_a_caller_that_listens_somewhere_is_shown_there():
    caller = Peer(b"n", CALLER, INBOUND, state=State.CONNECTED, initiator=False)
    assert PeerView.of(caller).address == CALLER
    caller.covers.append(Peer(b"n", HERE, "manual", dropped="bad block 17"))
    view = PeerView.of(caller)
    assert (view.address, view.source, view.dropped) == (HERE, "manual", "bad block 17")
    assert view.connected
    assert view.initiator is False
