"""How many bytes a second all connections together may carry, each way: limits over a clock.

A connection says what it read or is going to write, and waits while it owes. That is not a stream
around a stream, since whoever reads must know why nothing comes, and whoever writes chooses what
may go first: words on feeds and keep-alives are counted, but wait for nothing.
"""

import asyncio
from typing import NamedTuple

from datd.transport.bucket import Account, Bucket


class Limit:
    """One direction. Costs nothing as long as no rate is set: there is no timer, and no debt."""

    def __init__(self) -> None:
        """Without a rate; no loop need run yet."""
        self._bucket = Bucket()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rate(self) -> int | None:
        """Bytes a second; None: no limit."""
        return self._bucket.rate

    @property
    def waiting(self) -> int:
        """How many connections owe something."""
        return self._bucket.waiting

    def set(self, rate: int | None) -> None:
        """Hold to another rate from now on; None or 0: to none."""
        freed = self._bucket.limit(rate or None, asyncio.get_running_loop().time())
        self._free(freed)
        self._wind()

    def owe(self, account: Account, size: int) -> None:
        """So many bytes were used, or are to be."""
        if self._bucket.rate is None:
            return
        self._bucket.owe(account, size, asyncio.get_running_loop().time())
        if self._timer is None and account.owed:
            self._wind()

    def close(self, account: Account, *, unused: int = 0) -> None:
        """A connection has ended; see `Bucket.close`."""
        if account.owed or unused:
            self._bucket.close(account, asyncio.get_running_loop().time(), unused=unused)
            self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._bucket.next_timer()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        freed = self._bucket.handle_timer(asyncio.get_running_loop().time())
        self._free(freed)
        self._wind()

    def _free(self, accounts: list[Account]) -> None:
        for account in accounts:
            account.cleared()


class Rates(NamedTuple):
    """Bytes a second that may come in and go out; None: any number."""

    download: int | None
    upload: int | None


class Bandwidth:
    """Both directions.

    Attributes:
        upload: What goes out.
        download: What comes in.
    """

    def __init__(self) -> None:
        """Without limits."""
        self.upload = Limit()
        self.download = Limit()

    @property
    def rates(self) -> Rates:
        """What both are set to."""
        return Rates(self.download.rate, self.upload.rate)
