import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.helpers.own_archives import new_archive, put, written

from datd.archive.archive import Archive
from datd.archive.writer import ArchiveWriter
from datd.importing.content import UnusedBlocks, equals

T = TypeVar("T")


def result(steps: Generator[int, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[int]:
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def cut_short(*blocks: bytes, after: tuple[bytes, ...] = ()) -> Archive:
    """An archive whose last import was killed when so many blocks were written of a file."""
    archive = new_archive()
    writer = ArchiveWriter(archive)
    put(writer, "/done", *after or (b"done",))
    draft = writer.begin()
    draft.write(blocks)
    writer.commit()
    return archive


def taken_up(archive: Archive, path: Path, data: bytes) -> tuple[int, int]:
    with opened(path, data) as descriptor:
        draft = ArchiveWriter(archive).begin()
        result(UnusedBlocks(archive).take_up(draft, descriptor))
    assert archive.content is not None
    assert draft.offset == archive.content.length - (2 if draft.blocks else 0)
    return draft.blocks, draft.size


def test_a_file_is_compared_with_what_an_entry_says(tmp_path: Path):
    archive = new_archive()
    writer = ArchiveWriter(archive)
    put(writer, "/a", b"one", b"two")
    writer.commit()
    stat, content = archive.stat("/a"), archive.content
    assert content is not None
    for data, same in ((b"onetwo", True), (b"onetwO", False), (b"onetw", False), (b"", False)):
        with opened(tmp_path / "a", data) as descriptor:
            assert result(equals(content, stat, descriptor)) is same


def test_blocks_that_no_entry_names_are_taken_up_by_the_file_they_were_meant_for(tmp_path: Path):
    archive = cut_short(b"one", b"two")
    assert taken_up(archive, tmp_path / "a", b"onetwothree") == (2, 6)
    assert taken_up(archive, tmp_path / "a", b"onetwo") == (2, 6)


def test_a_file_that_ends_within_them_takes_what_it_needs(tmp_path: Path):
    assert taken_up(cut_short(b"one", b"two"), tmp_path / "a", b"one") == (1, 3)


def test_no_other_file_takes_them_up(tmp_path: Path):
    archive = cut_short(b"one", b"two")
    for data in (b"oneTWOthree", b"ontwo", b"on", b"x"):
        assert taken_up(archive, tmp_path / "a", data) == (0, 0)


def test_where_nothing_is_unused_nothing_is_read(tmp_path: Path):
    archive, _ = written("/a")
    assert taken_up(archive, tmp_path / "a", b"/a") == (0, 0)
    assert taken_up(new_archive(), tmp_path / "a", b"/a") == (0, 0)


def test_blocks_of_deleted_files_belong_to_them(tmp_path: Path):
    archive, writer = written(*(f"/{number}" for number in range(80)))
    for number in range(80):
        writer.remove(f"/{number}")
    writer.commit()
    assert taken_up(archive, tmp_path / "a", b"/79") == (0, 0)


def test_an_archive_killed_before_its_first_entry(tmp_path: Path):
    archive = new_archive()
    writer = ArchiveWriter(archive)
    writer.begin().write([b"one", b"two"])
    writer.commit()
    assert taken_up(archive, tmp_path / "a", b"onetwothree") == (2, 6)


def test_nothing_is_taken_up_while_other_blocks_wait_to_follow(tmp_path: Path):
    archive = cut_short(b"one", b"two")
    writer = ArchiveWriter(archive)
    put(writer, "/other", b"other")
    draft = writer.begin()
    with opened(tmp_path / "a", b"onetwothree") as descriptor:
        result(UnusedBlocks(archive).take_up(draft, descriptor))
    assert draft.blocks == 0
