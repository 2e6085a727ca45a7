"""Folders that we imported, read by the original; and what it imports itself, beside ours."""

import shutil
from pathlib import Path

import pytest
from tests.helpers.folders import hashes_in, make_varied_folder, write
from tests.helpers.imports import import_folder
from tests.helpers.own_archives import PAIR
from tests.helpers.reference import Event, Reference

from datd.archive.archive import Archive
from datd.archive.creation import create, open_own
from datd.feed.feed import Feed
from datd.hosting.descriptors import Descriptors
from datd.importing.chunking import Chunking
from datd.storage import layout


def new_store(store: Path) -> Archive:
    store.mkdir()
    return create(layout.flat(store, Descriptors(32)), PAIR)


def closed(archive: Archive) -> None:
    archive.metadata.close()
    assert archive.content is not None
    archive.content.close()


def seen(reference: Reference, store: Path, copy: Path, *options: object) -> dict[str, str]:
    """What the original finds in a store; it looks at a copy, since it writes when it opens."""
    shutil.copytree(store, copy)
    checked: Event = reference.check_folder(copy, *options)
    return {file["name"]: file["sha256"] for file in checked["files"]}


@pytest.mark.parametrize("chunking", ["fixed", "content"])
def test_the_original_reads_what_we_import_at_every_version(
    reference: Reference, tmp_path: Path, chunking: Chunking
):
    folder, store = tmp_path / "shared", tmp_path / "store"
    make_varied_folder(folder, small_files=60)
    archive = new_store(store)
    import_folder(archive, folder, chunking=chunking)
    first, before = archive.version, hashes_in(folder, with_empty=True)

    shutil.rmtree(folder / "many" / "3")
    (folder / "data" / "a").unlink()
    write(folder / "data" / "a" / "inner", b"a folder now")
    big = folder / "data" / "big.bin"
    big.write_bytes(b"!" + big.read_bytes())
    import_folder(archive, folder, chunking=chunking)
    version = archive.version
    closed(archive)

    assert version > first
    assert seen(reference, store, tmp_path / "new") == hashes_in(folder, with_empty=True)
    assert seen(reference, store, tmp_path / "old", "--version", first) == before


def test_we_import_what_dat_imports(reference: Reference, tmp_path: Path):
    folder = tmp_path / "shared"
    make_varied_folder(folder, small_files=40)
    for path in (
        ".env", ".git/config", ".well-known/dat", "sub/.well-known/dat", ".DS_Store", "x.log",
        "sub/x.log", "node_modules/a.js", "Thumbs.db", "logs/1", "sub/logs/2", "keep.log",
    ):  # fmt: skip
        write(folder / path, path.encode())
    write(folder / ".datignore", b"*.log\n!keep.log\nlogs\n")
    (folder / "link").symlink_to("data/b.bin")
    (folder / "to-folder").symlink_to("data")
    (folder / "nowhere").symlink_to("absent")
    (folder / "data" / "b.bin").chmod(0o640)
    (folder / "data" / "c").chmod(0o755)

    archive = new_store(tmp_path / "store")
    import_folder(archive, folder)
    ours = [(e.name, e.stat and (e.stat.mode, e.stat.size)) for e in archive.history().entries]

    sharer, _ = reference.peer("share", folder)
    sharer.wait_for("imported")
    sharer.stop()
    theirs = open_dat(folder)
    assert [
        (e.name, e.stat and (e.stat.mode, e.stat.size)) for e in theirs.history().entries
    ] == ours


def open_dat(folder: Path) -> Archive:
    """The metadata that dat left in a folder it shares."""
    files = layout.dat(folder, Descriptors(32), secret_keys=None, locate=lambda *_: None)
    return Archive(Feed.open(files.metadata))


def test_another_import_after_the_original_wrote_appends_to_what_it_wrote(
    reference: Reference, tmp_path: Path
):
    folder, store = tmp_path / "shared", tmp_path / "store"
    write(folder / "a", b"a")
    write(folder / "b/c", b"c")
    reference.make_archive(folder, store)
    archive = open_own(layout.flat(store, Descriptors(32)))
    version = archive.version
    import_folder(archive, folder)
    write(folder / "d", b"d")
    import_folder(archive, folder)
    assert archive.version == version + 1
    closed(archive)
    assert seen(reference, store, tmp_path / "copy") == hashes_in(folder)
