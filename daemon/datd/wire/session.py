"""One protocol conversation: bytes in, events out; calls in, bytes out. No socket, no clock.

    START ──── open() ───► SAID ── remote Feed ──► KEYED ── remote Handshake ──► UP
      └─ remote Feed ──► HEARD ── open() ────────────┘
    any ── error of the peer, or too slow ──► CLOSED

Who dials calls `open` at once. Who accepts and hosts many archives stays silent until `FeedOffered`
names one, and the caller opens it or drops the connection: nobody learns from a byte of ours which
archives are here.

Source: wire.md sections 2, 4, 5, 9, 10 and 13.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from datd.crypto import NONCE_SIZE, Keystream
from datd.errors import ProtocolError
from datd.keys import Key
from datd.wire.channels import ChannelTable
from datd.wire.extensions import ExtensionTable
from datd.wire.framing import FrameDecoder
from datd.wire.liveness import Liveness
from datd.wire.messages import (
    EXTENSION,
    FEED,
    HANDSHAKE,
    MAX_PEER_ID,
    Feed,
    Handshake,
    MalformedMessage,
    Message,
    decode,
    encode,
)

# T-12: a program with one bad habit is borne, one that talks nonsense is not.
MAX_IGNORED = 100

# Encrypted bytes kept while the caller looks for the first feed: nobody says more before an answer.
MAX_UNDECRYPTED = 64 * 2**10

_KEEP_ALIVE = b"\0"


class SessionState(Enum):
    """How far a conversation has come."""

    START = "nothing said"
    SAID = "we have named a feed, the peer has not"
    HEARD = "the peer has named a feed, we have not"
    KEYED = "both have named the same feed, the peer's handshake is awaited"
    UP = "both have shaken hands"
    CLOSED = "over"


@dataclass(slots=True, frozen=True)
class FeedOffered:
    """The peer has opened a feed, known here or not. 32 bytes."""

    discovery_key: bytes


@dataclass(slots=True, frozen=True)
class HandshakeReceived:
    """The peer's first handshake; later ones are ignored."""

    handshake: Handshake


@dataclass(slots=True)
class MessageReceived:
    """The peer said something about a feed that we have opened too.

    Attributes:
        channel: **Our** number of the feed.
        message: What it said; an `Extension` carries the number from our own list.
    """

    channel: int
    message: Message


Event = FeedOffered | HandshakeReceived | MessageReceived


class Session:
    """Both directions of one connection.

    Attributes:
        state: How far it has come.
        remote_id: The id from the peer's handshake; None before it, and if it gave none.
        ignored: Messages so far that made no sense.
    """

    def __init__(
        self,
        *,
        nonce: bytes,
        peer_id: bytes,
        now: float,
        extensions: Iterable[str] = (),
        live: bool = True,
        user_data: bytes | None = None,
        ack: bool = False,
    ) -> None:
        """Prepare a conversation; nothing is said before `open`.

        Args:
            nonce: 24 random bytes, never used twice.
            peer_id: 32 random bytes, one for the whole process.
            now: Seconds, from the clock that all later times come from.
            extensions: Names of those that we understand.
            live: What the handshake says about staying connected when all is exchanged.
            user_data: A note for the peer.
            ack: Whether the peer shall acknowledge the blocks it stores.
        """
        if len(nonce) != NONCE_SIZE or not 0 < len(peer_id) <= MAX_PEER_ID:
            raise ValueError(f"nonce of {len(nonce)} and peer id of {len(peer_id)} bytes")
        self.state = SessionState.START
        self.remote_id: bytes | None = None
        self.ignored = 0
        self._nonce = nonce
        self._extensions = ExtensionTable(extensions)
        self._handshake = Handshake(peer_id, live, user_data, self._extensions.names, ack)
        self._channels = ChannelTable()
        self._liveness = Liveness(now)
        self._decoder = FrameDecoder()
        self._events: list[Event] = []
        self._first_key: Key | None = None
        self._remote_first: Feed | None = None
        self._encryption: Keystream | None = None
        self._decryption: Keystream | None = None
        self._undecrypted = bytearray()
        self._plain = b""
        self._outgoing = bytearray()

    @property
    def handshaken(self) -> bool:
        """Whether the peer's handshake has come, and ours has gone."""
        return self.state is SessionState.UP

    @property
    def unfinished(self) -> int:
        """Bytes held of a frame that is not whole yet."""
        return self._decoder.pending

    @property
    def unsent(self) -> int:
        """Bytes queued for `data_to_send`."""
        return len(self._outgoing)

    def remote_offers(self, discovery_key: bytes) -> bool:
        """Whether the peer has opened a feed."""
        return self._channels.is_offered(discovery_key)

    def open(self, key: Key) -> int:
        """Open a feed; the first one names and encrypts the conversation.

        What the peer has said about it already becomes events now.

        Returns:
            Our number of the feed, for `send`. Opening a feed again gives its number again.

        Raises:
            ValueError: The peer named another first feed, or 256 feeds are open.
            ProtocolError: What was waiting is not allowed.
        """
        self._require_open()
        discovery_key = key.discovery_key.raw
        number = self._channels.own_number(discovery_key)
        if number is not None:
            return number
        if self._first_key is None:
            return self._open_first(key, discovery_key)
        number = self._channels.open(discovery_key)
        self._outgoing += encode(number, Feed(discovery_key))
        with self._closing_on_error():
            for kind, body in self._channels.release(discovery_key):
                self._deliver(number, kind, memoryview(body))
        return number

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take bytes off the connection, in any cuts.

        Raises:
            ProtocolError: The peer is at fault. The session is over and takes no more calls.
        """
        self._require_open()
        liveness = self._liveness
        liveness.now = now
        decoder = self._decoder
        completed = decoder.completed
        with self._closing_on_error():
            if self._decryption is not None:
                self._receive_frames(self._decryption.xor(data))
            elif self.state is SessionState.HEARD:
                self._keep_undecrypted(data)
            else:
                self._receive_first(data)
        liveness.received(
            len(data),
            completed=decoder.completed != completed,
            inside_frame=decoder.pending > 0,
        )

    def events_received(self) -> list[Event]:
        """What was understood since the last call, in order."""
        events, self._events = self._events, []
        return events

    def send(self, channel: int, message: Message) -> None:
        """Queue a message about a feed that we have opened.

        Raises:
            ValueError: The channel is not open, or the message cannot be encoded.
            ProtocolError: The session is over.
        """
        self._require_open()
        if not self._channels.is_own(channel):
            raise ValueError(f"channel {channel} is not open")
        self._outgoing += encode(channel, message)

    def send_encoded(self, frames: bytes) -> None:
        """Queue whole frames as `messages.encode` makes them; it may run in another thread.

        Raises:
            ValueError: No feed is open.
            ProtocolError: The session is over.
        """
        self._require_open()
        if self._encryption is None:
            raise ValueError("no feed is open")
        self._outgoing += frames

    def data_to_send(self) -> bytes | bytearray:
        """Hand out, encrypted, all that was queued; it must be sent in the order of these calls."""
        if self._encryption is None or not (self._outgoing or self._plain):
            return b""
        outgoing, self._outgoing = self._outgoing, bytearray()
        self._encryption.apply(outgoing)
        self._liveness.sent()
        if not self._plain:
            return outgoing
        plain, self._plain = self._plain, b""
        return plain + outgoing

    def next_timer(self) -> float | None:
        """When to call `handle_timer`, or None."""
        return None if self.state is SessionState.CLOSED else self._liveness.deadline()

    def handle_timer(self, now: float) -> None:
        """Let time pass: judge a silent peer, and queue a keep-alive if we were silent.

        Raises:
            ProtocolError: The peer's time is over, and so is the session.
        """
        self._require_open()
        self._liveness.now = now
        with self._closing_on_error():
            self._liveness.check()
        if self._liveness.must_speak() and not self._outgoing:
            self._outgoing += _KEEP_ALIVE

    def pause(self, now: float) -> None:
        """Say that the connection is not being read (L-12, L-17): its silence is our doing."""
        self._liveness.now = now
        self._liveness.pause()

    def resume(self, now: float) -> None:
        """Say that the connection is read again."""
        self._liveness.now = now
        self._liveness.resume()

    def _open_first(self, key: Key, discovery_key: bytes) -> int:
        heard = self._remote_first
        if heard is not None and heard.discovery_key != discovery_key:
            raise ValueError("the peer named another feed first: open that one, or hang up")
        number = self._channels.open(discovery_key)
        self._first_key = key
        self._encryption = Keystream(key.raw, self._nonce)
        self._plain = encode(number, Feed(discovery_key, self._nonce))
        self._outgoing += encode(number, self._handshake)
        if heard is None:
            self.state = SessionState.SAID
            return number
        with self._closing_on_error():
            encrypted, self._undecrypted = self._undecrypted, bytearray()
            self._become_keyed(key, heard, encrypted)
        return number

    def _receive_first(self, data: bytes | bytearray | memoryview) -> None:
        body = self._decoder.first(data)
        if body is None:
            return
        feed = decode(FEED, body)
        assert isinstance(feed, Feed)
        if feed.nonce is None:
            raise ProtocolError("the first Feed carries no nonce")
        if self._first_key and self._first_key.discovery_key.raw != feed.discovery_key:
            raise ProtocolError("the first feed of both ends must be the same")
        self._channels.offer(0, feed.discovery_key)
        self._events.append(FeedOffered(feed.discovery_key))
        self._remote_first = feed
        encrypted = self._decoder.take()
        if self._first_key is None:
            self.state = SessionState.HEARD
            self._keep_undecrypted(encrypted)
        else:
            self._become_keyed(self._first_key, feed, encrypted)

    def _keep_undecrypted(self, data: bytes | bytearray | memoryview) -> None:
        self._undecrypted += data
        if len(self._undecrypted) > MAX_UNDECRYPTED:
            raise ProtocolError(f"over {MAX_UNDECRYPTED} bytes before an answer")

    def _become_keyed(self, key: Key, remote_first: Feed, encrypted: bytearray) -> None:
        assert remote_first.nonce is not None
        self._decryption = Keystream(key.raw, remote_first.nonce)
        self.state = SessionState.KEYED
        self._liveness.keyed()
        self._receive_frames(self._decryption.xor(encrypted))

    def _receive_frames(self, plain: bytearray) -> None:
        routes = self._channels.routes
        for channel, kind, body in self._decoder.frames(plain):
            number = routes.get(channel)
            if number is not None and kind > HANDSHAKE:
                self._deliver(number, kind, body)
            elif kind == FEED:
                self._receive_feed(channel, body)
            elif not self._channels.has(channel):
                raise ProtocolError(f"a message on channel {channel}, where no feed was opened")
            elif kind == HANDSHAKE:
                self._receive_handshake(body)
            else:
                self._channels.hold(channel, kind, bytes(body))

    def _receive_feed(self, channel: int, body: memoryview) -> None:
        # A malformed Feed is not ignored: what follows on its channel could not be understood.
        feed = decode(FEED, body)
        assert isinstance(feed, Feed)
        self._channels.offer(channel, feed.discovery_key)
        self._events.append(FeedOffered(feed.discovery_key))

    def _receive_handshake(self, body: memoryview) -> None:
        if self.state is SessionState.UP:
            return
        try:
            handshake = decode(HANDSHAKE, body)
        except MalformedMessage as error:
            self._ignore(error)
            return
        assert isinstance(handshake, Handshake)
        self.state = SessionState.UP
        self.remote_id = handshake.id or None
        self._extensions.learn(handshake.extensions)
        self._liveness.handshaken()
        self._events.append(HandshakeReceived(handshake))

    def _deliver(self, number: int, kind: int, body: memoryview) -> None:
        message: Message | None
        try:
            if kind == EXTENSION:
                message = self._extensions.receive(body, self._liveness.now)
            else:
                message = decode(kind, body)
        except MalformedMessage as error:
            self._ignore(error)
            return
        if message is not None:
            self._events.append(MessageReceived(number, message))

    def _ignore(self, error: MalformedMessage) -> None:
        self.ignored += 1
        if self.ignored > MAX_IGNORED:
            raise ProtocolError(f"over {MAX_IGNORED} messages make no sense, the last: {error}")

    def _require_open(self) -> None:
        if self.state is SessionState.CLOSED:
            raise ProtocolError("the conversation is over")

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except ProtocolError:
            self._close()
            raise

    def _close(self) -> None:
        self.state = SessionState.CLOSED
        self._plain = b""
        self._outgoing = bytearray()
        self._undecrypted = bytearray()
        self._decoder = FrameDecoder()
