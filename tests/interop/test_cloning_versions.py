"""What we publish the original clones over the wire, in every shape, with every version."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.daemon import running_daemon
from tests.helpers.folders import write
from tests.helpers.imports import import_folder
from tests.helpers.reference import Reference
from tests.helpers.seen import archive_in, seen_by_the_original, seen_by_us, write_shapes
from tests.helpers.writing import Writer

from datd import crypto


def import_versions(folder: Path, source: Path, chunking: str) -> Path:
    """An archive of a folder that was imported three times: a byte more in front, a file gone."""
    rng = random.Random(7)
    body = rng.randbytes(1_500_000)
    pair = crypto.key_pair(chunking.encode().ljust(32))
    with archive_in(folder, new=True, pair=pair) as archive:
        write(source / "data/large.bin", body)
        write(source / "notes.txt", b"one")
        import_folder(archive, source, chunking=chunking)
        write(source / "data/large.bin", b"!" + body)
        import_folder(archive, source, chunking=chunking)
        (source / "notes.txt").unlink()
        write(source / "data/more.bin", rng.randbytes(70_000))
        import_folder(archive, source, chunking=chunking)
        assert archive.version == 5
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Path], Writer]]:
    """Folders of archives of ours, all of them hosted by one daemon."""
    base = tmp_path_factory.mktemp("published")
    folders = write_shapes(base / "shapes")
    folders += [
        import_versions(base / "shapes" / chunking, base / "sources" / chunking, chunking)
        for chunking in ("fixed", "content")
    ]
    environment = {"DATD_IMPORT_ROOTS": str(base)}
    with running_daemon(base / "datd", environment=environment) as daemon:
        writer = Writer(daemon)
        for folder in folders:
            made = writer.done("POST", "/archives", {"folder": str(folder), "copy": True})
            if made["job"] is not None:
                writer.ended(made["job"])
        yield folders, writer


def test_the_original_clones_every_shape_with_all_its_versions(
    reference: Reference, published: tuple[list[Path], Writer], tmp_path: Path
):
    hosted, writer = published
    # Of an archive without a byte there is nothing that the original could wait for.
    folders = [folder for folder in hosted if (folder / "content.data").exists()]
    assert len(folders) > 20
    clones = [tmp_path / folder.name for folder in folders]
    for folder, clone in zip(folders, clones, strict=True):
        key = (folder / "metadata.key").read_bytes().hex()
        words = ("--key", key, "--port", writer.daemon.peer_port)
        assert reference.start("bench.js", "fetch", clone, *words).wait_for("fetched")
    seen = seen_by_the_original(reference, *clones, writable=False)
    for folder, clone in zip(folders, clones, strict=True):
        with archive_in(folder) as archive:
            told = seen[str(clone)]
            assert told[-1]["version"] == archive.version
            for version in told:
                assert version["files"] == seen_by_us(archive, version["version"])
