"""Tokens: who announces has shown first that it hears at its address. Pure.

Source: BEP 5 "announce_peer": secrets change every five minutes, tokens live up to ten.
"""

import hashlib
import hmac

LIFETIME = 300.0
# Nobody can try 2**64 tokens in ten minutes; the reference's 20 bytes only make answers longer.
_SIZE = 8


class Tokens:
    """Nothing is remembered: each secret is made of one key and the number of its five minutes."""

    def __init__(self, secret: bytes) -> None:
        """Random bytes, up to 64, that nobody else knows."""
        self._secret = secret

    def token(self, host: str, now: float) -> bytes:
        """The token of a host."""
        return self._made(host, int(now // LIFETIME))

    def valid(self, token: bytes, host: str, now: float) -> bool:
        """Whether a host shows a token of these or the last five minutes."""
        age = int(now // LIFETIME)
        return any(hmac.compare_digest(token, self._made(host, one)) for one in (age, age - 1))

    def _made(self, host: str, age: int) -> bytes:
        text = f"{age} {host}".encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=_SIZE).digest()
