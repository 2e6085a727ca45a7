"""A storage that remembers each write and flush, to build the disks that a crash can leave."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from datd.storage.base import FeedStorage
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
    """What was done since it began, and how the files were before."""

    before: dict[str, bytes] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)

    def storage(self) -> FeedStorage:
        """Files that start as `before` and are recorded."""
        return FeedStorage(**{name: RecordedFile(self, name) for name in FILES})

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
        files = {name: MemoryFile(self.before.get(name, b"")) for name in FILES}
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
        if data:
            self._recording.operations.append(Operation(self.name, offset, bytes(data)))
            if self.size() < offset:
                super().truncate(offset)  # a hole is no operation of its own
        super().write(offset, data)

    def write_many(self, writes: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> None:
        for offset, data in writes:
            self.write(offset, data)

    def truncate(self, size: int) -> None:
        self._recording.operations.append(Operation(self.name, size=size))
        super().truncate(size)

    def sync(self) -> None:
        self._recording.operations.append(Operation(self.name))


def unique(states: Iterable[tuple[int, dict[str, bytes]]]) -> list[tuple[int, dict[str, bytes]]]:
    """Each different disk once, with the most operations that can lead to it."""
    seen = {tuple(disk[name] for name in FILES): done for done, disk in states}
    return [(done, dict(zip(FILES, disk, strict=True))) for disk, done in seen.items()]
