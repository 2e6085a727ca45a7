"""Callers of a daemon's peer port: an honest one, and sockets that say whatever a test likes."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from datd.keys import Key
from datd.wire.messages import Data, Feed, Request, encode
from datd.wire.session import Event, HandshakeReceived, MessageReceived, Session

# Every address of 127.0.0.0/8 is this host: each stranger has one of its own, since limits count
# by address.
HONEST = "127.0.0.1"


@contextmanager
def calling(port: int, source: str = HONEST) -> Iterator[socket.socket]:
    """A connection to the peer port, from an address of our choice."""
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as connection:
        yield connection


def first_frame(discovery_key: bytes) -> bytes:
    """What a peer says first: which feed it wants to talk about."""
    return encode(0, Feed(discovery_key, os.urandom(24)))


def heard_until_closed(connection: socket.socket, seconds: float) -> bytes:
    """All that the daemon says until it closes the connection.

    Raises:
        TimeoutError: It keeps it open longer than that.
    """
    deadline = time.monotonic() + seconds
    heard = bytearray()
    while True:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return bytes(heard)
        if not data:
            return bytes(heard)
        heard += data


class HonestPeer:
    """A caller that follows the protocol, over a socket that waits."""

    def __init__(self, connection: socket.socket, key: Key) -> None:
        self._socket = connection
        self._session = Session(
            nonce=os.urandom(24), peer_id=os.urandom(32), now=time.monotonic(), extensions=()
        )
        self.metadata = self.open(key)
        while not any(isinstance(event, HandshakeReceived) for event in self._hear()):
            pass

    def open(self, key: Key) -> int:
        """Open a feed; gives its channel."""
        channel = self._session.open(key)
        self._say()
        return channel

    def request(self, channel: int, *blocks: int) -> None:
        """Ask for blocks."""
        for block in blocks:
            self._session.send(channel, Request(block))
        self._say()

    def receive(self, channel: int) -> Data:
        """The next block."""
        while True:
            for event in self._hear():
                match event:
                    case MessageReceived(channel=number, message=Data() as data):
                        if number == channel:
                            return data

    def encrypted(self, plain: bytes) -> bytes:
        """Bytes of any kind, as the daemon will read them after what was said before."""
        self._session.send_encoded(plain)
        return bytes(self._session.data_to_send())

    def _say(self) -> None:
        self._socket.sendall(self._session.data_to_send())

    def _hear(self) -> list[Event]:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the daemon closed the connection")
        self._session.receive_data(data, time.monotonic())
        events = self._session.events_received()
        self._say()
        return list(events)


def seconds_for_a_block(port: int, key: Key, source: str = HONEST) -> float:
    """How long an honest peer takes to connect, shake hands and get a block."""
    start = time.monotonic()
    with calling(port, source) as connection:
        peer = HonestPeer(connection, key)
        peer.request(peer.metadata, 0)
        peer.receive(peer.metadata)
    return time.monotonic() - start
