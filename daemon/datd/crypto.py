"""Hashes, signatures and the stream cipher: the only file that touches libsodium.

Source: feeds.md sections 1, 4 and wire.md section 2, as measured from the reference programs.
"""

import ctypes
import ctypes.util
import hashlib
import importlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from datd.errors import StorageError
from datd.types import Node

HASH_SIZE = 32
SIGNATURE_SIZE = 64
KEY_SIZE = 32
NONCE_SIZE = 24
_BLOCK = 64

_blake2b = hashlib.blake2b


class KeyPair(NamedTuple):
    """An Ed25519 key pair.

    Attributes:
        public: 32 bytes; it is the feed's key and the link.
        secret: 64 bytes, seed and public key (libsodium's form).
    """

    public: bytes
    secret: bytes


def leaf_hash(data: bytes) -> bytes:
    """Hash of one block: type 0, length, bytes."""
    hashed = _blake2b(b"\x00" + len(data).to_bytes(8, "big"), digest_size=32)
    hashed.update(data)  # not in one piece: to copy a large block takes a twentieth of its hash
    return hashed.digest()


def parent_hash(left: bytes, right: bytes, size: int) -> bytes:
    """Hash of an inner node: type 1, the sum of both sizes, both hashes; left is the smaller."""
    return _blake2b(b"\x01" + size.to_bytes(8, "big") + left + right, digest_size=32).digest()


def root_hash(roots: Iterable[Node]) -> bytes:
    """What a signature covers: type 2, then hash, index and size of each root, left to right."""
    parts = [b"\x02"]
    for index, digest, size in roots:
        parts += (digest, index.to_bytes(8, "big"), size.to_bytes(8, "big"))
    return _blake2b(b"".join(parts), digest_size=32).digest()


def discovery_key(public: bytes) -> bytes:
    """The public name of a feed: BLAKE2b of a constant, keyed with the public key. 32 bytes."""
    return _blake2b(b"hypercore", digest_size=32, key=public).digest()


def key_pair(seed: bytes) -> KeyPair:
    """Derive a key pair from a 32-byte seed."""
    return KeyPair(*crypto_sign_seed_keypair(seed))


def content_key_pair(metadata_secret: bytes) -> KeyPair:
    """The content feed's key pair, derived from the metadata feed's 64-byte secret key."""
    seed = _blake2b(
        b"",
        digest_size=32,
        key=metadata_secret[:32],
        salt=(1).to_bytes(8, "little"),
        person=b"hyperdri",
    ).digest()
    return key_pair(seed)


def sign(message: bytes, secret: bytes) -> bytes:
    """Ed25519 signature of 64 bytes; the same input gives the same signature."""
    return crypto_sign(message, secret)[:SIGNATURE_SIZE]


def verify(message: bytes, signature: bytes, public: bytes) -> bool:
    """Whether a 64-byte signature over `message` holds."""
    try:
        crypto_sign_open(signature + message, public)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def _load_stream() -> Callable[..., Any]:
    # PyNaCl's Python face has no running XSalsa20, the libsodium inside its wheel exports one.
    # Windows wheels hide it: there, and only there, the system's libsodium is the second choice.
    candidates = [
        importlib.import_module("nacl._sodium").__file__,
        ctypes.util.find_library("sodium"),
    ]
    for path in candidates:
        if path is None:
            continue
        try:
            function = ctypes.CDLL(path).crypto_stream_xsalsa20_xor_ic
        except (OSError, AttributeError):
            continue
        function.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_ulonglong,
            ctypes.c_char_p,
            ctypes.c_uint64,
            ctypes.c_char_p,
        ]
        function.restype = ctypes.c_int
        return function
    raise StorageError(
        "no libsodium with XSalsa20 was found: "
        "install PyNaCl from a wheel, or the system's libsodium"
    )


_xor_in_place = _load_stream()


class Keystream:
    """One direction's XSalsa20 key stream; every byte of the direction goes through it in order."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
            raise ValueError(f"key of {len(key)} and nonce of {len(nonce)} bytes")
        self._key = key
        self._nonce = nonce
        self._position = 0

    def xor(self, data: bytes | bytearray | memoryview) -> bytearray:
        """Encrypt or decrypt the next bytes; cuts between calls do not matter."""
        out = bytearray(data)
        self.apply(out)
        return out

    def apply(self, data: bytearray) -> None:
        """The same in place."""
        size = len(data)
        block, skip = divmod(self._position, _BLOCK)
        self._position += size
        done = 0
        if skip and size:
            # The cipher starts at a block's border: what is left of the last one comes alone.
            done = min(_BLOCK - skip, size)
            head = bytearray(skip) + data[:done]
            self._cipher(head, 0, block)
            data[:done] = head[skip:]
            block += 1
        if done < size:
            self._cipher(data, done, block)

    def _cipher(self, data: bytearray, start: int, block: int) -> None:
        address = ctypes.byref(ctypes.c_char.from_buffer(data, start))
        _xor_in_place(address, address, len(data) - start, self._nonce, block, self._key)


def _known_answer() -> None:
    got = Keystream(bytes(range(32)), bytes(range(24))).xor(bytes(8))
    again = Keystream(bytes(range(32)), bytes(range(24)))
    pieces = again.xor(bytes(3)) + again.xor(bytes(5))
    if got != pieces or not any(got):
        raise StorageError("the stream cipher of this libsodium does not work as expected")


_known_answer()
