"""Passwords of accounts: kept so that whoever reads them cannot use them, checked a few at a time.

People choose words that programs guess, so each try must cost: scrypt with a salt of its own, 32
MiB and a tenth of a second, in a thread, one at a time.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import unicodedata

from datd.errors import Busy

# OWASP's choice for scrypt is 2**17 with 128 MiB, for servers; a seeder may be a Raspberry Pi.
LOG_N, R, P = 15, 8, 1
_SALT_SIZE = 16
_HASH_SIZE = 32
# T-42: a flood of logins must not take the memory or the processor of the host. What waits longer
# than this queue lasts about a second.
MAX_WAITING = 8


class Passwords:
    """Makes and checks what is kept of passwords."""

    def __init__(self, log_n: int = LOG_N) -> None:
        """Nobody waits yet; `log_n` says how dear one try is, each step twice the one before."""
        self._log_n = log_n
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def kept(self, password: str) -> str:
        """What is kept of a password: how it was hashed, salt and hash.

        Raises:
            Busy: Too many wait already.
        """
        salt = os.urandom(_SALT_SIZE)
        found = await self._hash(password, salt, self._log_n, R, P)
        fields = (base64.b64encode(part).decode() for part in (salt, found))
        return f"scrypt${self._log_n}${R}${P}${'$'.join(fields)}"

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether a password is the one that was kept.

        It takes as long for an account that is not there (None), which nobody shall learn that way.

        Raises:
            Busy: Too many wait already.
        """
        if kept is None:
            await self._hash(password, bytes(_SALT_SIZE), self._log_n, R, P)
            return False
        _, log_n, r, p, salt, expected = kept.split("$")
        found = await self._hash(password, base64.b64decode(salt), int(log_n), int(r), int(p))
        return hmac.compare_digest(found, base64.b64decode(expected))

    async def _hash(self, password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
        if self._waiting >= MAX_WAITING:
            raise Busy("too many people log in at this moment: try again in a few seconds")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(_scrypt, password, salt, log_n, r, p)
        finally:
            self._waiting -= 1


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    # The same letters have several encodings, and keyboards differ in which they send.
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    memory = 2 * 128 * r * 2**log_n
    return hashlib.scrypt(text, salt=salt, n=2**log_n, r=r, p=p, maxmem=memory, dklen=_HASH_SIZE)
