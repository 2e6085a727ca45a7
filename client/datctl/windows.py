"""Parts of one file that were fetched, and how much more to fetch. Pure: positions and bytes.

A read that misses is answered by a fetch that may reach further. Who reads on and on is given more
each time; who jumps is given little more than was asked for, since a reader of columns, of a ZIP
directory or of an index would pay for what it skips.
"""

# A block of most archives: peers send no less, so less would spare nothing.
LEAST = 64 * 1024
# A far peer is kept busy by it, and a reader that stops here has not fetched much in vain.
MOST_AHEAD = 4 * 2**20
# Of one open file. Holds the places between which a reader goes to and fro.
MOST_KEPT = 8 * 2**20


class Windows:
    """What is here of a file, at most 8 MiB, the latest used last.

    Args:
        size: Bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[int, bytes] = {}
        # Where the last fetch ended, and the bytes that the fetches in a row before it made.
        self._reached = -1
        self._run = 0

    def beginning_of(self, start: int, stop: int) -> bytes:
        """Those of the bytes from `start` to `stop` that are here without a gap, maybe none."""
        for begin, data in self._kept.items():
            if begin <= start < begin + len(data):
                # The last ones stay longest.
                self._kept[begin] = self._kept.pop(begin)
                return data[start - begin : stop - begin]
        return b""

    def end_of_fetch(self, start: int, stop: int) -> int:
        """Where to end the fetch that begins at `start`, for a reader that needs all up to `stop`.

        Bytes fetched in a row double with each fetch.
        """
        self._run = self._run if start == self._reached else 0
        end = max(stop, start + max(LEAST, min(self._run, MOST_AHEAD)))
        self._reached = min(end, self._size)
        self._run += self._reached - start
        return self._reached

    def keep(self, start: int, data: bytes, used: int) -> None:
        """Remember what was fetched, of which the reader takes the first `used` bytes.

        Of a large piece only what is left over is worth its room.
        """
        if len(data) > MOST_AHEAD:
            start, data = start + used, data[used:]
        if data and len(data) <= MOST_KEPT:
            self._kept[start] = data
            while sum(map(len, self._kept.values())) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]

    def forget(self) -> None:
        """Nothing is here any more."""
        self._kept.clear()
