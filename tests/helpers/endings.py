"""A session on its own in a stranger's hands, and how its conversation ends."""

import pytest

from datd import varint
from datd.errors import ProtocolError
from datd.wire.messages import Feed, Info, encode
from datd.wire.session import Session, SessionState
from tests.helpers.sessions import IDS, NONCES, SessionPair, key_named

METADATA, CONTENT = key_named("metadata"), key_named("content")

# What a dialler says first, in the clear.
FIRST = encode(0, Feed(METADATA.discovery_key.raw, NONCES["a"]))


def acceptor(now: float = 0.0) -> Session:
    """One that hosts many archives and was just called."""
    return Session(nonce=NONCES["b"], peer_id=IDS["b"], now=now)


def dialler(now: float = 0.0) -> Session:
    """One that has named the metadata feed."""
    session = Session(nonce=NONCES["a"], peer_id=IDS["a"], now=now)
    session.open(METADATA)
    return session


def frame(channel: int, kind: int, body: bytes) -> bytes:
    """A frame by hand, right or wrong."""
    header = varint.encode(channel << 4 | kind)
    return varint.encode(len(header) + len(body)) + header + body


def assert_ends(session: Session, data: bytes, why: str, now: float = 0.0) -> None:
    """The peer's bytes end the conversation, and it stays ended."""
    with pytest.raises(ProtocolError, match=why):
        session.receive_data(data, now)
    assert_over(session)


def assert_over(session: Session) -> None:
    """It says nothing any more and takes no calls."""
    assert session.state is SessionState.CLOSED
    assert session.next_timer() is None
    assert session.data_to_send() == b""
    for call in (
        lambda: session.receive_data(b"", 99.0),
        lambda: session.handle_timer(99.0),
        lambda: session.open(CONTENT),
        lambda: session.send(0, Info()),
        lambda: session.send_encoded(b"\0"),
    ):
        with pytest.raises(ProtocolError, match="over"):
            call()


def assert_ended_by(pair: SessionPair, frames: bytes, why: str) -> None:
    """`b` hangs up on what `a` says."""
    with pytest.raises(ProtocolError, match=why):
        pair.tamper(frames)
    assert_over(pair.b)
