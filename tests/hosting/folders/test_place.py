import time
from pathlib import Path

import pytest
from tests.helpers.adopted import Foreign, foreign

from datd.archive.archive import Archive
from datd.archive.content_key import content_secret
from datd.errors import StorageError
from datd.hosting.descriptors import Descriptors
from datd.hosting.folders.place import Place, is_folder_of_files, is_their_folder
from datd.hosting.own.roots import ImportRoots
from datd.importing.importer import Importer
from datd.keys import Key
from datd.records import Record


def placed(made: Foreign, data: Path, layout: str, source: str | None = None) -> Place:
    record = Record(made.key, 0.0, location=str(made.folder), layout=layout, source=source)
    data.mkdir(exist_ok=True)
    return Place(record, data / "archives", ImportRoots([made.folder.parent], data_folder=data))


def open_whole(place: Place, made: Foreign, pool: Descriptors) -> tuple[bool, int, int]:
    """Open both feeds and close them: whether they were trusted, and how many blocks are here."""
    held = place.open(pool)
    metadata = held.feed(held.files.metadata, made.key, secret=None, clean=True)
    key = type(made.key).parse(made.expected["content"]["key"])
    content = held.feed(held.files.content, key, secret=None, clean=True)
    found = (held.trusted, metadata.present_blocks, content.present_blocks)
    metadata.close()
    content.close()
    held.close(sound=True)
    return found


@pytest.mark.parametrize(
    ("vector", "layout"),
    [("cli-clone", "dat"), ("flat-history", "hyperdrive"), ("clone-sparse", "dat")],
)
def test_a_folder_is_believed_once_it_was_checked_and_until_somebody_writes_there(
    tmp_path: Path, vector: str, layout: str
):
    made = foreign(vector, tmp_path / "folder")
    if (made.folder / "metadata.tree").exists():
        layout = "flat"
    place, pool = placed(made, tmp_path / "data", layout), Descriptors()
    here = sum(stop - start for start, stop in made.expected["content"]["have"])
    first = open_whole(place, made, pool)
    assert first == (False, made.expected["metadata"]["length"], here)
    assert place.check.done > 0
    assert open_whole(place, made, pool) == (True, *first[1:])
    tree = next(made.folder.rglob("*content*tree" if layout != "hyperdrive" else "content/tree"))
    tree.write_bytes(tree.read_bytes())
    assert open_whole(place, made, pool) == first
    assert place.folder.is_relative_to(tmp_path / "data")
    pool.close()


def test_a_check_tells_how_far_it_is_and_can_be_ended(tmp_path: Path):
    made = foreign("cli-clone", tmp_path / "folder")
    place, pool = placed(made, tmp_path / "data", "dat"), Descriptors()
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        place.check.stopped = len(told) >= 3

    place.check.tell = tell
    held = place.open(pool)
    with pytest.raises(StorageError, match="begins anew"):
        held.feed(held.files.metadata, made.key, secret=None, clean=True)
    held.close(sound=False)
    assert len(told) == 3
    assert 0 < told[0][0] < told[0][1]
    place.check.tell = lambda done, total: None
    assert open_whole(place, made, pool)[0] is False
    pool.close()


def test_a_check_that_is_not_wanted_any_more_ends_also_if_it_begins_later(tmp_path: Path):
    made = foreign("cli-clone", tmp_path / "folder")
    place, pool = placed(made, tmp_path / "data", "dat"), Descriptors()
    place.check.over = True
    held = place.open(pool)
    with pytest.raises(StorageError, match="begins anew"):
        held.feed(held.files.metadata, made.key, secret=None, clean=True)
    held.close(sound=False)
    pool.close()


def test_a_folder_that_may_not_be_used_any_more_is_not(tmp_path: Path):
    made = foreign("cli-clone", tmp_path / "folder")
    place, pool = placed(made, tmp_path / "data", "dat"), Descriptors()
    made.folder.rename(tmp_path / "real")
    made.folder.symlink_to(tmp_path / "real")
    with pytest.raises(StorageError, match="remove the link"):
        place.open(pool)
    record = Record(made.key, 0.0, location=str(tmp_path / "real"), layout="dat")
    nowhere = ImportRoots([], data_folder=tmp_path / "data")
    with pytest.raises(StorageError, match="import_roots"):
        Place(record, tmp_path / "data/archives", nowhere).open(pool)
    assert pool.open_files == 0


def test_t26_a_file_of_holes_is_not_looked_through(tmp_path: Path):
    made = foreign("cli-clone", tmp_path / "folder")
    with (made.folder / ".dat/content.tree").open("r+b") as tree:
        tree.truncate(2**40)
    with pytest.raises(StorageError, match="more than can be checked"):
        placed(made, tmp_path / "data", "dat").open(Descriptors())


def test_what_is_imported_can_be_read_before_its_entry_is_there(tmp_path: Path):
    made = foreign("cli-share", tmp_path / "folder")
    (made.folder / "large.bin").write_bytes(bytes(range(256)) * 80_000)
    (made.folder / "way.bin").symlink_to("large.bin")
    place, pool = (
        placed(made, tmp_path / "data", "dat", source=str(made.folder)),
        Descriptors(),
    )
    secret = bytes.fromhex(made.expected["secretKey"])
    held = place.open(pool)
    metadata = held.feed(held.files.metadata, made.key, secret=secret, clean=True)
    key = Key.parse(made.expected["content"]["key"])
    content = held.feed(held.files.content, key, secret=content_secret(secret, key), clean=True)
    assert held.plain is not None
    importer = Importer(
        Archive(metadata, content),
        made.folder,
        now=lambda: int(time.time() * 1000),
        begins=held.plain.begin,
    )
    before, looked_at, early = content.length, content.length, 0
    while importer.advance() is not None:
        # As a peer would, who hears of blocks as soon as they are written.
        assert content.audit(looked_at, content.length) == []
        early += metadata.length == made.expected["metadata"]["length"]
        looked_at = content.length
    assert content.length - before == 2 * 313
    assert early > 1
    assert content.audit(before, content.length) == []
    held.close(sound=False)
    assert sorted(path.name for path in place.folder.iterdir()) == ["content.aside"]
    pool.close()


def test_whose_folder_it_is_says_the_record(tmp_path: Path):
    made = foreign("cli-clone", tmp_path / "folder")
    ours, flat = Record(made.key, 0.0, layout="dat", source="/x"), Record(made.key, 0.0)
    mirror = Record(made.key, 0.0, layout="dat")
    assert [is_folder_of_files(one) for one in (ours, flat, mirror)] == [True, False, True]
    assert [is_their_folder(one) for one in (ours, flat, mirror)] == [True, False, False]
