"""Conversations of the original programs, read and repeated by our code."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.sessions import (
    RecordedFrame,
    Recording,
    as_recorded,
    fields_of,
    frames_of,
    recording,
    recording_names,
)
from tests.helpers.vectors import vectors

from datd.crypto import Keystream
from datd.errors import ProtocolError
from datd.wire.messages import (
    FEED,
    HANDSHAKE,
    Extension,
    Feed,
    Handshake,
    Message,
    encode,
)
from datd.wire.session import (
    FeedOffered,
    HandshakeReceived,
    MessageReceived,
    Session,
    SessionState,
)

# The two ends name different feeds there, and hang up.
REFUSED = "different-first-feed"
names = pytest.mark.parametrize("name", recording_names())
accepted = pytest.mark.parametrize("name", [n for n in recording_names() if n != REFUSED])
ends = pytest.mark.parametrize("us", ["a", "b"])


def other(end: str) -> str:
    return "b" if end == "a" else "a"


def listener(record: Recording, us: str, now: float = 0.0) -> Session:
    """A session in the place of `us` that has opened all feeds."""
    session = record.ends[us].session(now)
    session.open(record.cipher_key(us))
    for key in record.feeds.values():
        session.open(key)
    return session


def heard(session: Session, record: Recording) -> list[tuple[str, Message]]:
    """All that a session understood, in the words of the recording."""
    feed_of = {session.open(key): name for name, key in record.feeds.items()}
    found: list[tuple[str, Message]] = []
    for event in session.events_received():
        if isinstance(event, FeedOffered):
            name = next(n for n, k in record.feeds.items() if k == record.keys[event.discovery_key])
            found.append((name, Feed(event.discovery_key)))
        elif isinstance(event, HandshakeReceived):
            found.append(("", event.handshake))
        else:
            found.append((feed_of[event.channel], event.message))
    return found


def said(record: Recording, them: str) -> list[tuple[str, Message]]:
    """What `heard` shall give for all that one end sent."""
    listed = record.ends[them].extensions
    ours = record.ends[other(them)].extensions
    named = {frame.channel: frame.message for frame in record.sent_by(them) if frame.kind == FEED}
    names = {key.discovery_key.raw: name for name, key in record.feeds.items()}
    found: list[tuple[str, Message]] = []
    for frame in record.sent_by(them):
        if frame.kind < 0:
            continue
        message = frame.message
        opened = named[frame.channel]
        assert isinstance(opened, Feed)
        feed = names[opened.discovery_key]
        if isinstance(message, Feed):
            found.append((feed, Feed(message.discovery_key)))
        elif isinstance(message, Handshake):
            found.append(("", message))
        elif isinstance(message, Extension):
            if listed[message.id] in ours:
                found.append((feed, Extension(ours.index(listed[message.id]), message.payload)))
        else:
            found.append((feed, message))
    return found


@names
def test_streams_decrypt_decode_and_encode_to_the_same_bytes(name):
    record = recording(name)
    for frame in record.frames:
        if frame.kind < 0:
            assert frame.plain == b"\0"
            continue
        message = frame.message
        fields = dict(frame.fields)
        if isinstance(message, Extension):
            del fields["name"]
        assert fields_of(message) == as_recorded(fields)
        assert encode(frame.channel, message) == frame.plain
    for end, stream in record.streams.items():
        facts = record.facts["streams"][f"{end}2{other(end)}"]
        assert hashlib.sha256(stream).hexdigest() == facts["sha256"]
        plain = b"".join(frame.plain for frame in record.sent_by(end))
        encrypted = Keystream(record.cipher_key(end).raw, record.ends[end].nonce).xor(plain[62:])
        assert plain[:62] + encrypted == stream


@names
@ends
def test_frames_are_cut_as_they_were_sent(name, us):
    frames = [frame for frame in recording(name).sent_by(us) if frame.kind >= 0]
    plain = b"".join(frame.plain for frame in recording(name).sent_by(us))
    expected = [(frame.channel, frame.kind, frame.body) for frame in frames]
    assert frames_of(plain) == expected
    assert frames_of(plain, lambda _: 1000) == expected


@accepted
@ends
def test_a_session_understands_all_that_the_other_end_said(name, us):
    record = recording(name)
    session = listener(record, us)
    session.receive_data(record.streams[other(us)], 1.0)
    assert heard(session, record) == said(record, other(us))
    assert session.state is SessionState.UP
    assert session.remote_id == record.ends[other(us)].id


@accepted
@ends
def test_a_session_understands_the_same_byte_by_byte(name, us):
    record = recording(name)
    stream = record.streams[other(us)][:30000]
    whole, pieces = listener(record, us), listener(record, us)
    whole.receive_data(stream, 1.0)
    for place in range(len(stream)):
        pieces.receive_data(stream[place : place + 1], 1.0)
    assert heard(pieces, record) == heard(whole, record)


@settings(max_examples=30)
@given(
    st.sampled_from([n for n in recording_names() if n != REFUSED]),
    st.sampled_from(["a", "b"]),
    st.lists(st.integers(1, 3000), min_size=1, max_size=20),
)
def test_a_session_understands_the_same_in_any_cuts(name, us, cuts):
    record = recording(name)
    stream = record.streams[other(us)]
    session = listener(record, us)
    position = turn = 0
    while position < len(stream):
        step = cuts[turn % len(cuts)] if position < 20000 else 65536
        session.receive_data(stream[position : position + step], 1.0)
        position += step
        turn += 1
    assert heard(session, record) == said(record, other(us))


@accepted
@ends
def test_a_session_that_says_the_same_sends_the_same_bytes(name, us):
    record = recording(name)
    session = record.ends[us].session()
    sent = bytearray()
    for sender, offset, length in record.writes:
        if sender == us:
            frame = next(f for f in record.sent_by(us) if f.offset == offset)
            repeat(session, frame, record)
            sent += session.data_to_send()
        else:
            session.receive_data(record.streams[sender][offset : offset + length], 1.0)
    assert sent == record.streams[us]


def repeat(session: Session, frame: RecordedFrame, record: Recording) -> None:
    """Make a session say what one frame says."""
    if frame.kind < 0:
        timer = session.next_timer()
        assert timer is not None
        session.handle_timer(timer)
    elif frame.kind == FEED:
        opened = frame.message
        assert isinstance(opened, Feed)
        assert session.open(record.keys[opened.discovery_key]) == frame.channel
    elif frame.kind != HANDSHAKE:  # which goes along with the first Feed
        session.send(frame.channel, frame.message)


def test_two_ends_with_different_first_feeds_hang_up():
    record = recording(REFUSED)
    for us in ("a", "b"):
        session = record.ends[us].session()
        session.open(record.cipher_key(us))
        with pytest.raises(ProtocolError, match="must be the same"):
            session.receive_data(record.streams[other(us)], 1.0)
        assert session.state is SessionState.CLOSED


def test_an_end_that_waits_for_the_first_feed_catches_up():
    record = recording("acceptor-waits-for-feed")
    session = record.ends["b"].session()
    session.receive_data(record.streams["a"], 1.0)
    key = record.cipher_key("a")
    assert session.events_received() == [FeedOffered(key.discovery_key.raw)]
    assert session.data_to_send() == b""
    session.open(key)
    assert [("feed", Feed(key.discovery_key.raw)), *heard(session, record)] == said(record, "a")
    assert session.data_to_send() == record.streams["b"][: 62 + len(record.sent_by("b")[1].plain)]


def test_feeds_have_other_numbers_in_the_other_direction():
    record = recording("many-feeds-one-connection")
    session = record.ends["b"].session()
    keys = list(record.feeds.values())
    order = [keys[0], keys[3], keys[2], keys[1]]
    assert [session.open(key) for key in order] == [0, 1, 2, 3]
    session.receive_data(record.streams["a"], 1.0)
    lengths = {}
    for event in session.events_received():
        if isinstance(event, MessageReceived) and fields_of(event.message).get("bitfield"):
            lengths[event.channel] = fields_of(event.message)["bitfield"]
    # feed n has n + 2 blocks, hence n + 2 bits
    assert lengths == {0: "02c0", 1: "02f8", 2: "02f0", 3: "02e0"}


def test_the_trace_that_the_protocol_page_walks_through():
    record = recording("annotated-trace")
    plain = {end: b"".join(f.plain for f in record.sent_by(end)) for end in ("a", "b")}
    handshake = "27010a20{}10002800"
    assert plain["b"][62:].hex().startswith(handshake.format("bb" * 32) + "0705080010808040")
    assert plain["a"][62:106].hex() == handshake.format("aa" * 32) + "03030801"
    assert plain["a"][106:118].hex() == "0b030800108080401a0202c0"
    assert plain["b"][110:].hex() == "0907080110001800200009070800100018002000050208011000"
    assert plain["a"][118:].hex().startswith("74090800120568656c6c6f1a26080212" + "20")
    assert plain["a"][353:].hex() == "050208001000"


@pytest.mark.parametrize("cuts", [[1], [7, 64, 1], [62, 40], [100000]])
def test_extensions_are_told_by_name_and_others_dropped(cuts):
    record = recording("handshake-extensions-ack")
    for event in record.facts["result"]["extension_events"]:
        us = event["at"]
        session = listener(record, us)
        session.receive_data(record.streams[other(us)], 1.0)
        [found] = [m for _, m in heard(session, record) if isinstance(m, Extension)]
        assert record.ends[us].extensions[found.id] == event["name"]
        assert found.payload.hex() == event["payload"]


def test_key_streams_of_the_vectors():
    for case in json.loads((vectors("wire") / "vectors" / "xsalsa20.json").read_text())["cases"]:
        stream = Keystream(bytes.fromhex(case["key"]), bytes.fromhex(case["nonce"]))
        plain = bytes(place % 256 for place in range(case["total"]))
        found = bytearray()
        for cut in case.get("cut_lengths", [997] * 71):
            found += stream.xor(plain[len(found) : len(found) + cut])
        assert len(found) == case["total"]
        assert found[:200].hex() == case["first_200"]
        assert hashlib.sha256(found).hexdigest() == case["sha256"]


mutations = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=60)
@given(st.sampled_from(recording_names()), st.sampled_from(["a", "b"]), mutations)
def test_a_damaged_stream_is_understood_or_refused(name, us, damage):
    record = recording(name)
    stream = bytearray(record.streams[other(us)][:20000])
    for place, value in damage:
        stream[place % len(stream)] = value
    session = listener(record, us)
    try:
        session.receive_data(stream, 1.0)
    except ProtocolError:
        assert session.state is SessionState.CLOSED


@settings(max_examples=60)
@given(st.sampled_from(recording_names()), st.sampled_from(["a", "b"]), mutations)
def test_a_damaged_message_is_understood_or_refused(name, us, damage):
    # Damage under the cipher, where it leaves the rest readable.
    record = recording(name)
    them = other(us)
    frames = [bytearray(frame.plain) for frame in record.sent_by(them)][:300]
    for place, value in damage:
        frame = frames[place % len(frames)]
        frame[place % min(len(frame), 80)] = value
    plain = b"".join(frames)
    stream = Keystream(record.cipher_key(them).raw, record.ends[them].nonce).xor(plain[62:])
    session = listener(record, us)
    try:
        session.receive_data(plain[:62] + stream, 1.0)
    except ProtocolError:
        assert session.state is SessionState.CLOSED
