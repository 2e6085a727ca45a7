"""What a session bears from strangers, and for how long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.endings import (
    CONTENT,
    FIRST,
    METADATA,
    acceptor,
    assert_ended_by,
    assert_ends,
    assert_over,
    dialler,
    frame,
)
from tests.helpers.sessions import IDS, NONCES, SessionPair, data_of, key_named

from datd import varint
from datd.crypto import Keystream
from datd.errors import ProtocolError
from datd.wire.messages import (
    Extension,
    Feed,
    Handshake,
    Have,
    Want,
    encode,
)
from datd.wire.session import (
    MAX_UNDECRYPTED,
    Session,
    SessionState,
)

# A frame whose body is no message of its type.
NONSENSE = b"\x02\x03\xff"


def test_t4_t5_an_unknown_first_feed_is_left_without_a_word():
    session = acceptor()
    session.receive_data(FIRST, 0.1)
    with pytest.raises(ProtocolError, match="handshake"):
        session.handle_timer(5.0)
    assert_over(session)


def test_bytes_waiting_for_the_key_are_bounded():
    session = acceptor()
    session.receive_data(FIRST + bytes(MAX_UNDECRYPTED), 0.0)
    assert_ends(session, b"x", "before an answer")


@pytest.mark.parametrize("claim", [2**10 + 1, 2**23, 2**23 + 1])
def test_t2_l2_a_large_first_frame_ends_it_at_once(claim):
    for session in (dialler(), acceptor()):
        assert_ends(session, varint.encode(claim), "at most")


def test_t1_l1_five_seconds_for_the_handshake_whatever_drips_in():
    session = acceptor(now=50.0)
    for second in (2, 4):
        session.receive_data(b"\0", 50.0 + second)
        session.handle_timer(50.0 + second)
    assert session.next_timer() == 55.0
    with pytest.raises(ProtocolError, match="handshake within 5 s"):
        session.handle_timer(55.0)
    assert_over(session)


def test_t1_l1_a_feed_without_a_handshake_is_not_enough():
    session = dialler(now=50.0)
    session.receive_data(encode(0, Feed(METADATA.discovery_key.raw, NONCES["b"])), 51.0)
    assert session.state is SessionState.KEYED
    session.handle_timer(54.0)
    with pytest.raises(ProtocolError, match="handshake within 5 s"):
        session.handle_timer(55.0)


def test_l3_a_silent_peer_is_left_after_20_seconds():
    pair = SessionPair.connected(METADATA)
    pair.to_b.dropping = True
    pair.pass_time(19.9)
    with pytest.raises(ProtocolError, match="silent"):
        pair.pass_time(0.1)
    assert pair.b.state is SessionState.CLOSED
    assert pair.a.state is SessionState.UP


def test_l3_two_idle_sessions_keep_each_other_alive():
    pair = SessionPair.connected(METADATA)
    sent = len(pair.to_b.carried)
    pair.pass_time(3600)
    assert pair.a.handshaken
    assert pair.b.handshaken
    assert len(pair.to_b.carried) - sent == 1200


def test_l3_what_we_say_puts_the_keep_alive_off():
    pair = SessionPair.connected(METADATA)
    for turn in range(5):
        pair.now += 2.9
        pair.a.receive_data(b"", pair.now)
        pair.a.send(0, Have(turn))
        pair.b.receive_data(pair.a.data_to_send(), pair.now)
        assert pair.a.next_timer() == pair.now + 3
    pair.a.handle_timer(pair.now + 2.9)
    assert pair.a.data_to_send() == b""
    pair.a.handle_timer(pair.now + 3)
    assert len(pair.a.data_to_send()) == 1


def test_l4_t7_a_large_frame_that_drips_is_left():
    pair = SessionPair.connected(METADATA)
    pair.tamper(varint.encode(2**23) + b"\x09" + b"x" * 20000)
    for _ in range(9):
        pair.pass_time(1.0)
        pair.tamper(b"x" * 1000)
    with pytest.raises(ProtocolError, match="16384 bytes of a frame"):
        pair.pass_time(1.0)


def test_l4_while_we_do_not_read_the_peer_is_not_judged():
    pair = SessionPair.connected(METADATA)
    pair.tamper(varint.encode(2**23) + b"\x09" + b"x" * 20000)
    pair.b.pause(pair.now)
    pair.to_a.dropping = True
    pair.b.handle_timer(pair.now + 500)
    pair.b.resume(pair.now + 500)
    pair.b.handle_timer(pair.now + 509)
    with pytest.raises(ProtocolError, match="of a frame"):
        pair.b.handle_timer(pair.now + 510)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (varint.encode(2**23 + 1), "at most 8388608"),
        (b"\x80" * 4, "over 4 bytes"),
        (b"\xff" * 11, "over 4 bytes"),
        (b"\x05\xff\xff\xff\xff\x0f", "channels end"),
        (frame(256, 5, b"\x08\x00"), "channels end"),
        (varint.encode(64 * 2**10 + 1) + b"\x01", "at most 65536"),
        (varint.encode(2**10 + 1) + b"\x00", "at most 1024"),
    ],
)
def test_t6_l2_frames_beyond_the_limits_end_it(frames, why):
    assert_ended_by(SessionPair.connected(METADATA), frames, why)


def test_t7_an_announced_8_mib_take_what_arrived():
    pair = SessionPair.connected(METADATA)
    pair.tamper(varint.encode(2**23) + b"\x09")
    for _ in range(100):
        pair.tamper(bytes(100))
    assert pair.b._decoder.pending == 10005


def test_t8_a_flood_of_empty_frames_is_life_and_nothing_else():
    pair = SessionPair.connected(METADATA)
    for _ in range(20):
        pair.tamper(bytes(50000) + b"\x01\x09" * 100)
    assert pair.b.ignored == 0
    assert pair.heard[pair.b] == []
    assert pair.b._decoder.pending == 0


def test_t9_l6_the_17th_message_about_unopened_feeds_ends_it():
    pair = SessionPair.connected(METADATA)
    feeds = b"".join(
        encode(n, Feed(key_named(str(n)).discovery_key.raw)) + encode(n, Want(0)) * 8
        for n in (1, 2)
    )
    pair.tamper(feeds)
    assert_ended_by(pair, encode(2, Want(0)), "not open")


def test_t9_l6_over_64_kib_about_unopened_feeds_end_it():
    pair = SessionPair.connected(METADATA)
    pair.tamper(encode(1, Feed(CONTENT.discovery_key.raw)) + encode(1, data_of(0, bytes(65000))))
    assert_ended_by(pair, encode(1, data_of(1, bytes(1000))), "not open")


def test_t9_l5_the_17th_unknown_feed_ends_it():
    pair = SessionPair.connected(METADATA)
    feeds = [encode(n, Feed(key_named(str(n)).discovery_key.raw)) for n in range(1, 18)]
    pair.tamper(b"".join(feeds[:16]))
    assert len(pair.heard[pair.b]) == 16
    assert_ended_by(pair, feeds[16], "unknown here")


def test_l5_256_feeds_fit_on_one_connection():
    keys = [key_named(str(number)) for number in range(256)]
    pair = SessionPair(*keys)
    for key in keys:
        pair.a.open(key)
        pair.deliver()
    pair.a.send(255, Have(1))
    pair.deliver()
    assert pair.messages_at(pair.b) == [(255, Have(1))]
    with pytest.raises(ValueError, match="256"):
        pair.a.open(key_named("256"))


def test_t10_a_channel_opened_twice_ends_it():
    pair = SessionPair.connected(METADATA)
    assert_ended_by(pair, encode(0, Feed(CONTENT.discovery_key.raw)), "twice")


def test_t10_a_feed_on_two_channels_ends_it():
    pair = SessionPair.connected(METADATA, CONTENT)
    assert_ended_by(pair, encode(2, Feed(CONTENT.discovery_key.raw)), "two channels")


def test_t10_an_unknown_channel_opened_twice_ends_it():
    pair = SessionPair.connected(METADATA)
    pair.tamper(encode(5, Feed(CONTENT.discovery_key.raw)))
    assert_ended_by(pair, encode(5, Feed(CONTENT.discovery_key.raw)), "twice")


def test_t11_a_second_handshake_is_ignored():
    pair = SessionPair.connected(METADATA)
    pair.tamper(encode(0, Handshake(b"\x99" * 32, extensions=["x"])) + b"\x03\x01\xff\xff")
    assert pair.heard[pair.b] == []
    assert pair.b.remote_id == IDS["a"]
    assert pair.b.ignored == 0


def test_t11_l2_a_handshake_over_64_kib_ends_it():
    session = dialler()
    stream = Keystream(METADATA.raw, NONCES["b"])
    session.receive_data(encode(0, Feed(METADATA.discovery_key.raw, NONCES["b"])), 0.0)
    head = varint.encode(64 * 2**10 + 1) + b"\x01"
    assert_ends(session, bytes(stream.xor(head)), "at most 65536")


@pytest.mark.parametrize("extensions", [[str(n) for n in range(129)], ["x" * 129]])
def test_t11_l7_a_handshake_with_too_many_extensions_ends_it(extensions):
    session = dialler()
    stream = Keystream(METADATA.raw, NONCES["b"])
    session.receive_data(encode(0, Feed(METADATA.discovery_key.raw, NONCES["b"])), 0.0)
    handshake = encode(0, Handshake(IDS["b"], extensions=extensions))
    assert_ends(session, bytes(stream.xor(handshake)), "extension")


def test_t12_nonsense_is_ignored_up_to_100_times():
    pair = SessionPair.connected(METADATA)
    unknown_type = frame(0, 12, b"abc")
    unlisted = encode(0, Extension(5, b""))
    pair.tamper(NONSENSE * 30 + unknown_type * 40 + unlisted * 30 + encode(0, Have(1)))
    assert pair.b.ignored == 100
    assert pair.messages_at(pair.b) == [(0, Have(1))]
    assert_ended_by(pair, NONSENSE, "make no sense")


def test_t12_nonsense_about_a_feed_opened_later_counts_then():
    pair = SessionPair.connected(METADATA)
    pair.tamper(encode(1, Feed(CONTENT.discovery_key.raw)) + b"\x02\x13\xff" * 16)
    assert pair.b.ignored == 0
    pair.b.open(CONTENT)
    assert pair.b.ignored == 16


def test_t12_messages_of_beaker_do_not_count_as_unknown():
    pair = SessionPair(METADATA)
    pair.a = Session(
        nonce=NONCES["a"], peer_id=IDS["a"], now=pair.now, extensions=["ephemeral", "session-data"]
    )
    pair.heard[pair.a] = []
    pair.a.open(METADATA)
    pair.deliver()
    for _ in range(5):
        for _ in range(25):
            pair.a.send(0, Extension(0, b"x"))
            pair.a.send(0, Extension(1, b"{}"))
        pair.deliver()
        pair.pass_time(1.0)
    assert pair.b.ignored == 0
    assert pair.messages_at(pair.b) == []


def test_l7_over_50_extension_messages_in_a_second_end_it():
    pair = SessionPair.connected(METADATA, extensions=["mine"])
    pair.tamper(encode(0, Extension(0, b"x")) * 50)
    assert len(pair.messages_at(pair.b)) == 50
    assert_ended_by(pair, encode(0, Extension(0, b"x")), "50 extension messages")


def test_l7_a_large_extension_message_ends_it():
    pair = SessionPair.connected(METADATA, extensions=["mine"])
    assert_ended_by(pair, encode(0, Extension(0, bytes(65537))), "at most")


frames = st.one_of(
    st.builds(frame, st.integers(0, 3), st.integers(0, 15), st.binary(max_size=60)),
    st.builds(
        encode,
        st.integers(0, 3),
        st.builds(Feed, st.integers(0, 4).map(lambda n: key_named(str(n)).discovery_key.raw)),
    ),
    st.builds(encode, st.integers(0, 3), st.builds(Have, st.integers(0, 99))),
    st.builds(encode, st.integers(0, 3), st.builds(Extension, st.integers(0, 3), st.just(b"x"))),
    st.just(b"\0"),
    st.binary(max_size=20),
)


@settings(max_examples=150)
@given(st.lists(frames, max_size=40), st.integers(1, 500))
def test_anything_after_the_key_exchange_is_understood_or_ends_it(said, split):
    pair = SessionPair.connected(METADATA, key_named("1"), split=split)
    try:
        for piece in said:
            pair.tamper(piece)
        pair.b.open(key_named("2"))
        pair.pass_time(30.0)
    except ProtocolError:
        assert pair.b.state is SessionState.CLOSED
    assert pair.b._decoder.pending <= sum(map(len, said)) + 100


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=80), max_size=10), st.booleans())
def test_anything_at_all_is_understood_or_ends_it(pieces, dialled):
    session = dialler() if dialled else acceptor()
    try:
        for place, piece in enumerate(pieces):
            session.receive_data(piece, place / 10)
    except ProtocolError:
        assert_over(session)
