import pytest
from tests.helpers.endings import (
    CONTENT,
    FIRST,
    METADATA,
    acceptor,
    assert_ended_by,
    assert_ends,
    dialler,
    frame,
)
from tests.helpers.sessions import IDS, NONCES, SessionPair, data_of

from datd.crypto import Keystream
from datd.wire.messages import (
    Cancel,
    Extension,
    Feed,
    Handshake,
    Have,
    Info,
    Message,
    Request,
    Unhave,
    Unwant,
    Want,
    encode,
)
from datd.wire.session import (
    FeedOffered,
    HandshakeReceived,
    MessageReceived,
    Session,
    SessionState,
)

GREETING = encode(0, Handshake(IDS["a"], live=True))


def test_two_sessions_shake_hands_and_exchange_a_block():
    pair = SessionPair(METADATA)
    channel = pair.a.open(METADATA)
    pair.deliver()
    assert pair.a.handshaken
    assert pair.b.handshaken
    assert (pair.a.remote_id, pair.b.remote_id) == (IDS["b"], IDS["a"])
    assert pair.heard[pair.a] == [
        FeedOffered(METADATA.discovery_key.raw),
        HandshakeReceived(Handshake(IDS["b"], live=True)),
    ]
    pair.a.send(channel, Request(7))
    pair.deliver()
    pair.b.send(0, data_of(7, b"block", nodes=2, signed=True))
    pair.deliver()
    assert pair.messages_at(pair.b) == [(0, Request(7))]
    assert pair.messages_at(pair.a) == [(0, data_of(7, b"block", nodes=2, signed=True))]


@pytest.mark.parametrize("split", [1, 2, 61, 62, 63, 1000])
def test_every_message_arrives_in_any_pieces(split):
    pair = SessionPair.connected(METADATA, CONTENT, split=split, extensions=["mine"])
    messages: list[Message] = [
        Info(True, False),
        Have(3, 5),
        Unhave(3, 5),
        Want(0, 1024),
        Unwant(0, 1024),
        Request(3, bytes=5, hash=True, nodes=9),
        Cancel(3, 5, True),
        data_of(5, None, nodes=3),
        data_of(5, b"", nodes=3, signed=True),
        data_of(6, bytes(70000), nodes=1),
        Extension(0, b"hello"),
    ]
    for message in messages:
        pair.a.send(1, message)
        pair.b.send(0, message)
    pair.deliver()
    assert pair.messages_at(pair.b) == [(1, message) for message in messages]
    assert pair.messages_at(pair.a) == [(0, message) for message in messages]


def test_the_state_says_how_far_it_has_come():
    first, second = dialler(), acceptor()
    states = [(first.state, second.state)]
    second.receive_data(first.data_to_send(), 0.0)
    states.append((first.state, second.state))
    second.open(METADATA)
    states.append((first.state, second.state))
    answer = second.data_to_send()
    first.receive_data(answer[:62], 0.0)
    states.append((first.state, second.state))
    first.receive_data(answer[62:], 0.0)
    states.append((first.state, second.state))
    assert states == [
        (SessionState.SAID, SessionState.START),
        (SessionState.SAID, SessionState.HEARD),
        (SessionState.SAID, SessionState.UP),
        (SessionState.KEYED, SessionState.UP),
        (SessionState.UP, SessionState.UP),
    ]


def test_all_but_the_first_feed_is_encrypted_from_the_own_feed_on():
    session = dialler()
    sent = session.data_to_send()
    assert sent[:62] == FIRST
    stream = Keystream(METADATA.raw, NONCES["a"])
    assert stream.xor(sent[62:]) == GREETING
    session.send(0, Want(0, 1024))
    session.send_encoded(encode(0, Info()) + encode(0, Have(2)))
    expected = encode(0, Want(0, 1024)) + encode(0, Info()) + encode(0, Have(2))
    assert stream.xor(session.data_to_send()) == expected
    assert session.data_to_send() == b""


def test_t5_the_accepting_side_says_nothing_before_the_first_feed():
    session = acceptor()
    assert session.data_to_send() == b""
    for place in range(61):
        session.receive_data(FIRST[place : place + 1], 0.1)
        assert session.data_to_send() == b""
        assert session.events_received() == []
    timer = session.next_timer()
    assert timer == 5.0
    session.handle_timer(4.9)
    assert session.data_to_send() == b""
    session.receive_data(FIRST[61:], 4.9)
    assert session.events_received() == [FeedOffered(METADATA.discovery_key.raw)]
    assert session.state is SessionState.HEARD
    assert session.data_to_send() == b""
    with pytest.raises(ValueError, match="no feed"):
        session.send_encoded(b"\0")


def test_what_came_before_the_first_feed_was_opened_is_read_then():
    pair = SessionPair(METADATA)
    pair.a.open(METADATA)
    pair.a.send(0, Want(0, 1024))
    pair.b.receive_data(pair.a.data_to_send(), 1000.0)
    pair.a.send(0, Have(4))
    for byte in pair.a.data_to_send():
        pair.b.receive_data(bytes([byte]), 1000.0)
    assert pair.b.events_received() == [FeedOffered(METADATA.discovery_key.raw)]
    assert pair.b.open(METADATA) == 0
    assert pair.b.events_received() == [
        HandshakeReceived(Handshake(IDS["a"], live=True)),
        MessageReceived(0, Want(0, 1024)),
        MessageReceived(0, Have(4)),
    ]


def test_only_the_feed_that_the_peer_named_can_be_opened_first():
    session = acceptor()
    session.receive_data(FIRST, 0.0)
    with pytest.raises(ValueError, match="another feed"):
        session.open(CONTENT)
    assert session.data_to_send() == b""
    assert session.open(METADATA) == 0


def test_different_first_feeds_end_it():
    other = encode(0, Feed(CONTENT.discovery_key.raw, NONCES["b"]))
    assert_ends(dialler(), other, "must be the same")


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (encode(0, Feed(METADATA.discovery_key.raw)), "nonce"),
        (encode(1, Feed(METADATA.discovery_key.raw, NONCES["a"])), "no Feed of channel 0"),
        (encode(0, Handshake(IDS["a"])), "no Feed"),
        (frame(0, 0, b"\x0a\x1f" + bytes(31) + b"\x12\x18" + bytes(24)), "32 bytes"),
        (frame(0, 0, b"\x0a\x20" + bytes(32) + b"\x12\x17" + bytes(23)), "24"),
        (frame(0, 0, b"\xff"), "Feed"),
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n" * 3, "no Feed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600), "no Feed"),
    ],
)
def test_a_first_frame_that_is_not_right_ends_it(first, why):
    for session in (dialler(), acceptor()):
        assert_ends(session, first, why)


def test_a_message_on_a_channel_without_a_feed_ends_it():
    for body in (Want(0), Handshake(IDS["a"]), Extension(0, b"")):
        assert_ended_by(SessionPair.connected(METADATA), encode(1, body), "no feed was opened")


def test_t9_messages_about_a_feed_that_is_opened_later_arrive_in_order():
    pair = SessionPair.connected(METADATA)
    channel = pair.a.open(CONTENT)
    for block in range(16):
        pair.a.send(channel, Have(block))
    pair.a.send(0, Have(99))
    pair.deliver()
    assert pair.heard[pair.b].pop(0) == FeedOffered(CONTENT.discovery_key.raw)
    assert pair.messages_at(pair.b) == [(0, Have(99))]
    assert pair.b.remote_offers(CONTENT.discovery_key.raw)
    assert not pair.a.remote_offers(CONTENT.discovery_key.raw)
    assert pair.b.open(CONTENT) == 1
    assert pair.b.events_received() == [MessageReceived(1, Have(block)) for block in range(16)]
    pair.deliver()
    assert pair.a.remote_offers(CONTENT.discovery_key.raw)


def test_a_malformed_feed_ends_it():
    assert_ended_by(SessionPair.connected(METADATA), frame(1, 0, b"\x0a\x01x"), "32 bytes")


def test_opening_again_gives_the_same_number_and_says_nothing():
    pair = SessionPair.connected(METADATA, CONTENT)
    assert (pair.a.open(CONTENT), pair.a.open(METADATA)) == (1, 0)
    assert pair.a.data_to_send() == b""


def test_only_open_channels_can_be_spoken_on():
    session = dialler()
    for channel in (-1, 1, 256):
        with pytest.raises(ValueError, match="not open"):
            session.send(channel, Info())


def test_a_handshake_counts_on_any_channel_and_may_lack_an_id():
    session = dialler()
    stream = Keystream(METADATA.raw, NONCES["b"])
    session.receive_data(encode(0, Feed(METADATA.discovery_key.raw, NONCES["b"])), 0.0)
    frames = encode(3, Feed(CONTENT.discovery_key.raw)) + encode(3, Handshake())
    session.receive_data(stream.xor(frames), 0.0)
    assert session.handshaken
    assert session.remote_id is None


@pytest.mark.parametrize(("nonce", "peer_id"), [(b"", IDS["a"]), (NONCES["a"], b"")])
def test_a_session_needs_a_nonce_and_an_id(nonce, peer_id):
    with pytest.raises(ValueError, match="bytes"):
        Session(nonce=nonce, peer_id=peer_id, now=0.0)


def test_a_malformed_handshake_is_as_good_as_none():
    session = dialler()
    stream = Keystream(METADATA.raw, NONCES["b"])
    session.receive_data(encode(0, Feed(METADATA.discovery_key.raw, NONCES["b"])), 0.0)
    session.receive_data(stream.xor(frame(0, 1, b"\x0a\xff")), 0.0)
    assert session.ignored == 1
    session.receive_data(stream.xor(encode(0, Handshake(IDS["b"]))), 0.0)
    assert session.remote_id == IDS["b"]
