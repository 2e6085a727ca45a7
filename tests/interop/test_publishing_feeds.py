"""What we write into the feeds of an archive, read and written on by the original on disk."""

import random
from pathlib import Path

from tests.helpers.own_archives import THEN, put
from tests.helpers.reference import Reference
from tests.helpers.seen import archive_in, seen_by_the_original, seen_by_us, write_shapes

from datd.archive.writer import ArchiveWriter


def assert_equally_seen(reference: Reference, *folders: Path) -> None:
    """Both see the same files with the same bytes at every version."""
    for folder, versions in seen_by_the_original(reference, *folders).items():
        with archive_in(Path(folder)) as archive:
            assert not versions or versions[-1]["version"] == archive.version
            for told in versions:
                assert told["files"] == seen_by_us(archive, told["version"])


def test_the_original_reads_every_shape_we_write_at_every_version(
    reference: Reference, tmp_path: Path
):
    folders = write_shapes(tmp_path)
    assert_equally_seen(reference, *folders)


def test_the_original_reads_large_files_in_blocks_of_any_length(
    reference: Reference, tmp_path: Path
):
    rng = random.Random(4)
    with archive_in(tmp_path / "a", new=True) as archive:
        writer = ArchiveWriter(archive)
        put(writer, "/fixed", *(rng.randbytes(65536) for _ in range(150)), rng.randbytes(17))
        put(writer, "/odd", *(rng.randbytes(rng.randint(1, 40_000)) for _ in range(300)))
        writer.commit()
        put(writer, "/fixed", b"shorter")
        put(writer, "/empty")
        writer.mkdir("/folder/empty", mtime=THEN, ctime=THEN)
        writer.remove("/odd")
        abandoned = writer.begin()
        abandoned.write([b"nobody names this"])
        writer.commit()
        writer.abandon(abandoned)
        put(writer, "/folder/last", b"1")
        writer.commit()
    assert_equally_seen(reference, tmp_path / "a")
    versions = seen_by_the_original(reference, tmp_path / "a")[str(tmp_path / "a")]
    assert versions[4]["folders"] == ["/folder", "/folder/empty"]


def test_we_and_the_original_write_one_archive_in_turns(reference: Reference, tmp_path: Path):
    folder = tmp_path / "a"
    with archive_in(folder, new=True) as archive:
        writer = ArchiveWriter(archive)
        for path in ("/a/1", "/a/2", "/b/1"):
            put(writer, path, path.encode())
        writer.commit()
    changes = [("/a/3=three", "/a/1"), ("/c=new", "/b/1"), ("/a/2=again", "/c")]
    for number, words in enumerate(changes):
        changed = reference.start("change-folder.js", folder, *words).wait_for("changed")
        with archive_in(folder) as archive:
            assert archive.version == changed["version"]
            writer = ArchiveWriter(archive)
            put(writer, f"/ours/{number}", b"1")
            put(writer, f"/a/{number}x", b"2")
            if number:
                writer.remove(f"/ours/{number - 1}")
            writer.commit()
        assert_equally_seen(reference, folder)
    with archive_in(folder) as archive:
        assert sorted(seen_by_us(archive, archive.version)) == [
            "/a/0x", "/a/1x", "/a/2", "/a/2x", "/a/3", "/ours/2",
        ]  # fmt: skip
