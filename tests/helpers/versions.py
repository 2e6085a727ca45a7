"""Archives of one folder that change: each put and removal is a version of its own."""

from collections.abc import Sequence

from datd import crypto
from datd.archive.entries import HYPERDRIVE, Header, Stat, encode_entry
from datd.hosting.archive import HostedArchive
from datd.wire.messages import Unhave, Want
from tests.helpers.feeds import FILE_MODE, PAIR, feed_of
from tests.helpers.libraries import Source, content_of
from tests.helpers.raw_peer import RawPeer


class Versions:
    """Writes entries as the original does, for names without slashes.

    Attributes:
        metadata: Blocks of the metadata feed.
        content: Blocks of the content feed.
        lengths: Content blocks there were at each version.
    """

    def __init__(self) -> None:
        self._pair = crypto.content_key_pair(PAIR.secret)
        self.metadata = [Header(HYPERDRIVE, self._pair.public).encode()]
        self.content: list[bytes] = []
        self.lengths = [0]
        self._live: dict[str, int] = {}

    def put(self, name: str, blocks: Sequence[bytes], *, offset: int | None = None) -> int:
        """Write a file; gives its version. With an offset it claims blocks that are there."""
        own = offset is None
        at = len(self.content) if offset is None else offset
        before = sum(map(len, self.content[:at]))
        if own:
            self.content += blocks
        size = sum(map(len, blocks))
        return self.claim(name, Stat(FILE_MODE, 0, 0, size, len(blocks), at, before))

    def claim(self, name: str, stat: Stat) -> int:
        """Write an entry that says anything."""
        seq = len(self.metadata)
        self._live.pop(name, None)
        rows = [[*self._live.values(), seq], [seq]]
        self._live[name] = seq
        self.metadata.append(encode_entry(seq, f"/{name}", stat, rows))
        self.lengths.append(len(self.content))
        return seq

    def remove(self, name: str) -> int:
        """Delete a file; gives the version."""
        del self._live[name]
        seq = len(self.metadata)
        self.metadata.append(encode_entry(seq, f"/{name}", None, [list(self._live.values())]))
        self.lengths.append(len(self.content))
        return seq

    def source(self, version: int | None = None) -> Source:
        """The archive as its author has it at a version, in memory."""
        version = len(self.metadata) - 1 if version is None else version
        return Source(
            feed_of(self.metadata[: version + 1]),
            feed_of(self.content[: self.lengths[version]], self._pair),
            {},
        )

    def news(self, old: int, new: int) -> list[list[bytes]]:
        """Blocks of metadata and content that came between two versions."""
        start, stop = self.lengths[old], self.lengths[new]
        return [self.metadata[old + 1 : new + 1], self.content[start:stop]]


def blocks(label: str, count: int = 3, size: int = 5000) -> list[bytes]:
    """Content blocks that are like no others."""
    return [f"{label}:{number};".encode().ljust(size, b"%d" % number) for number in range(count)]


def held(archive: HostedArchive) -> list[int]:
    """Content blocks that are here, while the archive is in use."""
    return list(content_of(archive).feed.have.search(1)) if archive.in_use else []


EVERYTHING = Want(0, 2**20)


def told_gone(peer: RawPeer, feed: int = 1) -> list[int]:
    """Blocks that the peer was told are not here any more."""
    gone = [m for at, m in peer.heard if at == feed and isinstance(m, Unhave)]
    return sorted(index for m in gone for index in range(m.start, m.start + m.length))


def replaced() -> Versions:
    """A file of two versions beside one that stays."""
    made = Versions()
    made.put("file", blocks("old"))
    made.put("other", blocks("other", 2))
    made.put("file", blocks("new", 4))
    return made
