"""Two sessions with a fake wire between them, and conversations that the original programs had."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datd import varint
from datd.crypto import Keystream
from datd.keys import Key
from datd.types import Node
from datd.wire import messages
from datd.wire.framing import FrameDecoder
from datd.wire.messages import Message
from datd.wire.session import Event, FeedOffered, MessageReceived, Session
from tests.helpers.vectors import vectors

NONCES = {"a": b"\xa0" * 24, "b": b"\xb0" * 24}
_REFERENCE_NAMES = {"discovery_key": "discoveryKey", "user_data": "userData"}

IDS = {"a": b"\xaa" * 32, "b": b"\xbb" * 32}


def key_named(text: str) -> Key:
    """A key that depends on a word; nobody has its secret half, which sessions do not need."""
    return Key(hashlib.sha256(text.encode()).digest())


class FakeWire:
    """One direction. Bytes wait until `deliver`; it splits, delays and drops as it is told.

    Attributes:
        split: Largest piece that is delivered at once; 0 for no limit.
        delay: Seconds before bytes may be delivered.
        dropping: While true, bytes vanish, as if a cable was pulled.
    """

    def __init__(self) -> None:
        self.split = 0
        self.delay = 0.0
        self.dropping = False
        self.carried = bytearray()
        self._waiting: list[tuple[float, bytes]] = []

    def put(self, data: bytes, now: float) -> None:
        if data and not self.dropping:
            self._waiting.append((now + self.delay, data))
            self.carried += data

    def take(self, now: float) -> Iterator[bytes]:
        while self._waiting and self._waiting[0][0] <= now:
            _, data = self._waiting.pop(0)
            step = self.split or len(data)
            for start in range(0, len(data), step):
                yield data[start : start + step]


class SessionPair:
    """Two sessions, `a` who dialled and `b` who was called, and a clock for both.

    `b` opens any feed of `hosted` when it is offered; all events are collected in `heard`.
    """

    def __init__(self, *hosted: Key, split: int = 0, **options: Any) -> None:
        self.now = 1000.0
        self.a = Session(nonce=NONCES["a"], peer_id=IDS["a"], now=self.now, **options)
        self.b = Session(nonce=NONCES["b"], peer_id=IDS["b"], now=self.now, **options)
        self.hosted = {key.discovery_key.raw: key for key in hosted}
        self.to_a, self.to_b = FakeWire(), FakeWire()
        self.to_a.split = self.to_b.split = split
        self.heard: dict[Session, list[Event]] = {self.a: [], self.b: []}

    @classmethod
    def connected(cls, *feeds: Key, **options: Any) -> "SessionPair":
        """A pair that has shaken hands and opened `feeds` on both ends, in this order."""
        pair = cls(*feeds, **options)
        for key in feeds:
            pair.a.open(key)
        pair.deliver()
        assert pair.a.handshaken
        assert pair.b.handshaken
        pair.heard[pair.a].clear()
        pair.heard[pair.b].clear()
        return pair

    def deliver(self) -> None:
        """Carry bytes both ways until nothing moves any more."""
        moved = True
        while moved:
            moved = self._carry(self.a, self.to_b, self.b)
            moved = self._carry(self.b, self.to_a, self.a) or moved

    def tamper(self, frames: bytes) -> None:
        """Let `a` say something that `send` would refuse, and carry it to `b`."""
        self.a.send_encoded(frames)
        self.deliver()

    def pass_time(self, seconds: float) -> None:
        """Let the clock run, with every timer of both at its time."""
        end = self.now + seconds
        while True:
            timers = [(session.next_timer(), session) for session in (self.a, self.b)]
            due = [(when, session) for when, session in timers if when is not None and when <= end]
            if not due:
                break
            when, session = min(due, key=lambda pair: pair[0])
            self.now = max(self.now, when)
            session.handle_timer(self.now)
            self.deliver()
        self.now = end
        self.deliver()

    def messages_at(self, session: Session) -> list[tuple[int, Message]]:
        """What a session heard about its channels, as (its channel, message)."""
        return [
            (event.channel, event.message)
            for event in self.heard[session]
            if isinstance(event, MessageReceived)
        ]

    def _carry(self, sender: Session, wire: FakeWire, receiver: Session) -> bool:
        wire.put(bytes(sender.data_to_send()), self.now)
        moved = False
        for piece in wire.take(self.now):
            moved = True
            receiver.receive_data(piece, self.now)
            self._collect(receiver)
        return moved

    def _collect(self, session: Session) -> None:
        for event in session.events_received():
            self.heard[session].append(event)
            if isinstance(event, FeedOffered) and session is self.b:
                key = self.hosted.get(event.discovery_key)
                if key is not None:
                    session.open(key)
                    self._collect(session)


@dataclass(frozen=True)
class End:
    """One end of a recorded conversation."""

    nonce: bytes
    id: bytes
    live: bool
    ack: bool
    user_data: bytes | None
    extensions: tuple[str, ...]

    def session(self, now: float = 0.0) -> Session:
        """A session of ours in this end's place."""
        return Session(
            nonce=self.nonce,
            peer_id=self.id,
            now=now,
            extensions=self.extensions,
            live=self.live,
            user_data=self.user_data,
            ack=self.ack,
        )


@dataclass(frozen=True)
class RecordedFrame:
    """One frame, decrypted. `kind` is -1 for a keep-alive; `fields` are as the reference saw them.

    In `fields`, bytes are hex, and above 80 bytes a dict with `len` and `sha256`; see `fields_of`.
    """

    sender: str
    offset: int
    plain: bytes
    channel: int
    kind: int
    body: bytes
    fields: dict[str, Any] = field(repr=False)

    @property
    def message(self) -> Message:
        return messages.decode(self.kind, self.body)


@dataclass(frozen=True)
class Recording:
    """A conversation of the original programs, with `a` and `b` as its ends.

    Attributes:
        feeds: Their keys by name; the first is the one that encrypts.
        ends: What each end was configured with.
        streams: All bytes that each end sent, as on the wire.
        frames: Both directions, in the order of sending.
        writes: (sender, offset, length) in that order; one a frame.
        facts: The whole record, for what is not named here.
    """

    name: str
    feeds: dict[str, Key]
    ends: dict[str, End]
    streams: dict[str, bytes]
    frames: list[RecordedFrame]
    writes: list[tuple[str, int, int]]
    facts: dict[str, Any] = field(repr=False)

    @property
    def keys(self) -> dict[bytes, Key]:
        """The feeds by discovery key."""
        return {key.discovery_key.raw: key for key in self.feeds.values()}

    def cipher_key(self, sender: str) -> Key:
        """The key of the feed that an end named first."""
        first = next(frame for frame in self.frames if frame.sender == sender)
        return self.keys[bytes.fromhex(first.fields["discoveryKey"])]

    def sent_by(self, sender: str) -> list[RecordedFrame]:
        return [frame for frame in self.frames if frame.sender == sender]


def recording_names() -> list[str]:
    """All recorded conversations."""
    return sorted(path.parent.name for path in vectors("wire").glob("*/session.json"))


@functools.cache
def recording(name: str) -> Recording:
    """Read and decrypt one."""
    folder = vectors("wire") / name
    facts = json.loads((folder / "session.json").read_text())
    feeds = {feed["name"]: Key(bytes.fromhex(feed["key"])) for feed in facts["feeds"]}
    ends = {name: _end(**values) for name, values in facts["ends"].items()}
    streams = {
        direction[0]: (folder / stream["file"]).read_bytes()
        for direction, stream in facts["streams"].items()
    }
    plain = {
        sender: _decrypt(stream, ends[sender].nonce, feeds.values())
        for sender, stream in streams.items()
    }
    return Recording(
        name=name,
        feeds=feeds,
        ends=ends,
        streams=streams,
        frames=[_frame(record, plain[record["dir"][0]]) for record in facts["messages"]],
        writes=[(write[1][0], write[2], write[3]) for write in facts["writes"]],
        facts=facts,
    )


def frames_of(
    plain: bytes, cuts: Callable[[int], int] = lambda left: left
) -> list[tuple[Any, ...]]:
    """Cut a decrypted stream into (channel, type, body); `cuts` says how much to give at once."""
    decoder = FrameDecoder()
    found: list[tuple[Any, ...]] = []
    position = 0
    while position < len(plain):
        step = cuts(len(plain) - position)
        piece = bytearray(plain[position : position + step])
        found += [(channel, kind, bytes(body)) for channel, kind, body in decoder.frames(piece)]
        position += step
    assert decoder.pending == 0
    return found


def data_of(index: int, value: bytes | None, nodes: int = 0, signed: bool = False) -> messages.Data:
    """A Data message of the usual shape, with hashes that prove nothing."""
    proof = tuple(Node(2 * index + 2 * n, bytes([n + 1]) * 32, 1000 * n) for n in range(nodes))
    return messages.Data(index, value, proof, b"\x55" * 64 if signed else None)


def fields_of(message: Message) -> dict[str, Any]:
    """A message in the form of the recordings: what is absent is left out."""
    fields = {
        _REFERENCE_NAMES.get(name, name): _recorded(getattr(message, name))
        for name in type(message).__slots__
    }
    if fields.get("id") == "":
        del fields["id"]  # a handshake without one
    return {name: value for name, value in fields.items() if value is not None}


def as_recorded(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a recording or vector, without those that `fields_of` leaves out."""
    return {
        name: {"len": value["len"], "sha256": value["sha256"]} if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


def _recorded(value: Any) -> Any:
    if isinstance(value, bytes):
        if len(value) > 80:
            return {"len": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        return value.hex()
    if isinstance(value, tuple):
        return [
            {"index": item.index, "hash": item.hash.hex(), "size": item.size}
            if isinstance(item, Node)
            else item
            for item in value
        ]
    return value


def _end(
    nonce: str, id: str, live: bool, ack: bool, userData: str | None, extensions: list[str]
) -> End:
    user_data = None if userData is None else bytes.fromhex(userData)
    return End(bytes.fromhex(nonce), bytes.fromhex(id), live, ack, user_data, tuple(extensions))


def _decrypt(stream: bytes, nonce: bytes, keys: Any) -> bytes:
    """The first frame of 62 bytes is plain and names the feed whose key encrypts the rest."""
    named = stream[4:36]
    key = next(key for key in keys if key.discovery_key.raw == named)
    return stream[:62] + Keystream(key.raw, nonce).xor(stream[62:])


def _frame(record: dict[str, Any], stream: bytes) -> RecordedFrame:
    plain = stream[record["offset"] : record["offset"] + record["length"]]
    _, header = varint.decode(plain) or (0, 0)
    _, body = varint.decode(plain, header) or (0, header)
    return RecordedFrame(
        sender=record["dir"][0],
        offset=record["offset"],
        plain=plain,
        channel=record.get("channel", -1),
        kind=record.get("type", -1),
        body=plain[body:],
        fields=record.get("fields", {}),
    )
