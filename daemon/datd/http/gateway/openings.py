"""Archives that nobody hosts here, fetched because somebody asked (setting `gateway.open`).

They are sparse, so only what is asked for is kept, and they bear a tag. There are only so many of
them: the one that was not asked for the longest goes when another one comes.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.http.problems import Problem
from datd.keys import Key
from datd.words import counted

log = logging.getLogger(__name__)

TAG = "gateway"
# One that was asked for so recently is not sent away: somebody may be reading.
_RESTING_SECONDS = 60.0


class Openings:
    """Hosts archives on demand."""

    def __init__(self, library: Library, most: int, clock: Callable[[], float]) -> None:
        """Nothing is fetched yet.

        Args:
            library: Where they are hosted.
            most: How many there may be.
            clock: Seconds, monotonic.
        """
        self._library = library
        self._most = most
        self._clock = clock
        self._opening = asyncio.Lock()
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._in_use: Counter[str] = Counter()
        self._began = clock()

    @contextmanager
    def using(self, archive: HostedArchive) -> Iterator[None]:
        """Somebody reads an archive: it is not sent away until he is done."""
        name = archive.key.hex
        self._in_use[name] += 1
        try:
            yield
        finally:
            self._in_use[name] -= 1
            if not self._in_use[name]:
                del self._in_use[name]
            self.used(archive)

    def used(self, archive: HostedArchive) -> None:
        """Somebody asks for an archive."""
        if is_opened(archive):
            self._asked[archive.key.hex] = self._clock()
            self._asked.move_to_end(archive.key.hex)

    async def open(self, key: Key) -> HostedArchive:
        """Host an archive, and make room for it.

        It goes on when nobody waits for it any more: a removal that was cut short would leave files
        that belong to nobody, and peers that look for them here.

        Raises:
            Problem: There are too many of them, all in use.
        """
        opened: asyncio.Future[HostedArchive] = asyncio.get_running_loop().create_future()
        self._library.services.spawn(self._carry_out(key, opened))
        return await opened

    async def _carry_out(self, key: Key, opened: asyncio.Future[HostedArchive]) -> None:
        try:
            async with self._opening:
                if opened.done():
                    return  # nobody waits any more
                archive = await self._open(key)
        except Exception as error:
            if opened.done():
                log.warning("an archive could not be opened for others: %s", error)
            else:
                opened.set_exception(error)
        else:
            if not opened.done():
                opened.set_result(archive)
        finally:
            opened.cancel()  # the daemon ends

    async def _open(self, key: Key) -> HostedArchive:
        there = self._library.of_discovery_key(key.discovery_key.raw)
        if there is not None:
            return there  # somebody else asked for it in this moment
        opened = [archive for archive in self._library.archives() if is_opened(archive)]
        if len(opened) >= self._most:
            await self._send_away(opened)
        archive, _ = await self._library.add(key, mode="sparse", tags=[TAG])
        self.used(archive)
        return archive

    async def _send_away(self, opened: list[HostedArchive]) -> None:
        # After a restart nothing is known of when they were asked for.
        idle = (archive for archive in opened if not self._in_use[archive.key.hex])
        oldest = min(
            idle,
            key=lambda archive: self._asked.get(archive.key.hex, self._began),
            default=None,
        )
        since = float("-inf") if oldest is None else self._asked.get(oldest.key.hex, float("-inf"))
        if oldest is None or self._clock() - since < _RESTING_SECONDS:
            raise Problem(
                "busy",
                f"The gateway opens {counted(self._most, 'archive')} for others: all are in use.",
                headers={"Retry-After": f"{_RESTING_SECONDS:.0f}"},
            )
        self._asked.pop(oldest.key.hex, None)
        # Unless the operator takes it over in this moment.
        await self._library.remove(oldest, still=is_opened)


def is_opened(archive: HostedArchive) -> bool:
    """Whether it is here only since somebody asked: what a person has changed since is his."""
    record = archive.record
    is_as_added = (record.mode, list(archive.tags), record.include) == ("sparse", [TAG], None)
    return is_as_added and not (record.writable or archive.name or record.domain)
