"""A storage that remembers each write and flush, to build the disks that a crash can leave."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from datd.errors import StorageError
from datd.storage.base import FeedStorage
from datd.storage.layout import ArchiveFiles
from datd.storage.memory import MemoryFile
from tests.helpers.feed_vectors import FILES


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing done to a file: bytes written at an offset, a new size, or a flush (neither)."""

    file: str
    offset: int = 0
    data: bytes | None = None
    size: int | None = None

    @property
    def is_flush(self) -> bool:
        return self.data is None and self.size is None


@dataclass
class Recording:
    """What was done since it began, and how the files were before.

    While a file is in `full`, it does not grow: half of a write goes down, then the disk refuses.
    """

    before: dict[str, bytes] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    full: set[str] = field(default_factory=set)

    def storage(self, prefix: str = "") -> FeedStorage:
        """Files of one feed that start as `before` and are recorded; a prefix tells feeds apart."""
        return FeedStorage(**{name: RecordedFile(self, prefix + name) for name in FILES})

    def archive(self) -> ArchiveFiles:
        """The same for both feeds of an archive."""
        return ArchiveFiles(self.storage("metadata."), self.storage("content."))

    def crashes(self) -> Iterator[tuple[int, dict[str, bytes]]]:
        """Disks after a crash behind any number of operations, with that number.

        Of what was not flushed nothing may be lost, all, one, all but one, or one file's; and the
        last write may be torn.
        """
        for end in range(len(self.operations) + 1):
            done = self.operations[:end]
            loose = [at for at, one in enumerate(done) if self._is_loose(done, at)]
            yield end, self.disk(done, set(), None)
            yield end, self.disk(done, set(loose), None)
            for at in loose:
                yield end, self.disk(done, {at}, None)
                yield end, self.disk(done, set(loose) - {at}, None)
            for name in {done[at].file for at in loose}:
                yield end, self.disk(done, {at for at in loose if done[at].file == name}, None)
            if loose and done[-1].data:
                for cut in {len(done[-1].data) // 2, 13, 512}:
                    yield end, self.disk(done, set(), cut)

    @staticmethod
    def _is_loose(done: list[Operation], at: int) -> bool:
        one = done[at]
        flushed = any(later.is_flush and later.file == one.file for later in done[at + 1 :])
        return not one.is_flush and not flushed

    def disk(self, done: list[Operation], lost: set[int], cut: int | None) -> dict[str, bytes]:
        names = {*self.before, *(one.file for one in self.operations)}
        files = {name: MemoryFile(self.before.get(name, b"")) for name in names}
        for at, one in enumerate(done):
            if at in lost:
                continue
            if one.size is not None:
                files[one.file].truncate(one.size)
            elif one.data is not None:
                last = cut is not None and at == len(done) - 1
                files[one.file].write(one.offset, one.data[:cut] if last else one.data)
        return {name: file.read(0, file.size()) for name, file in files.items()}


class RecordedFile(MemoryFile):
    """A file whose changes go into a recording."""

    def __init__(self, recording: Recording, name: str) -> None:
        super().__init__(recording.before.get(name, b""), name=name)
        self._recording = recording

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        refused = self.name in self._recording.full and offset + len(data) > self.size()
        if refused:
            data = data[: len(data) // 2]
        if data:
            self._recording.operations.append(Operation(self.name, offset, bytes(data)))
            if self.size() < offset:
                super().truncate(offset)  # a hole is no operation of its own
        super().write(offset, data)
        if refused:
            raise StorageError("disk full")

    def write_many(self, writes: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> None:
        for offset, data in writes:
            self.write(offset, data)

    def truncate(self, size: int) -> None:
        self._recording.operations.append(Operation(self.name, size=size))
        super().truncate(size)

    def punch(self, offset: int, length: int) -> None:
        self.write(offset, bytes(max(0, min(length, self.size() - offset))))

    def sync(self) -> None:
        self._recording.operations.append(Operation(self.name))


def unique(states: Iterable[tuple[int, dict[str, bytes]]]) -> list[tuple[int, dict[str, bytes]]]:
    """Each different disk once, with the most operations that can lead to it."""
    seen = {tuple(sorted(disk.items())): done for done, disk in states}
    return [(done, dict(disk)) for disk, done in seen.items()]
