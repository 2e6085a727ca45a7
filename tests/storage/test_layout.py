import hashlib
import json
import stat
from pathlib import Path

import pytest
from tests.helpers.vectors import vectors

from datd import crypto
from datd.errors import StorageError
from datd.hosting.descriptors import Descriptors
from datd.storage import layout
from datd.storage.sleep import BITFIELD, SIGNATURES, TREE, read_entry_size

ARCHIVES = sorted(path.parent.name for path in vectors("archives").glob("*/expected.json"))


def nowhere(byte: int) -> None:
    return None


def opened(archive: str, pool: Descriptors) -> layout.ArchiveFiles:
    folder = vectors("archives") / archive
    kind = layout.detect(folder / "store") or layout.detect(folder / "dir")
    if kind == "dat":
        return layout.dat(folder / "dir", pool, secret_keys=folder / "secret_keys", locate=nowhere)
    return {"flat": layout.flat, "hyperdrive": layout.hyperdrive}[str(kind)](folder / "store", pool)


@pytest.mark.parametrize("archive", ARCHIVES)
def test_recorded_archives_are_recognised(archive: str):
    told = json.loads((vectors("archives") / archive / "expected.json").read_text())
    folder = vectors("archives") / archive
    store = folder / ("dir" if told["layout"] == "dat" else "store")
    assert layout.detect(store) == told["layout"]


@pytest.mark.parametrize("archive", ARCHIVES)
def test_recorded_archives_have_their_files_where_we_look(archive: str, pool: Descriptors):
    told = json.loads((vectors("archives") / archive / "expected.json").read_text())
    files = opened(archive, pool)
    for feed, name in ((files.metadata, "metadata"), (files.content, "content")):
        if not told.get(name):
            assert feed.key.size() == feed.tree.size() == 0
            continue
        assert feed.key.read(0, 40).hex() == told[name]["key"]
        for file, kind in (
            (feed.tree, TREE),
            (feed.signatures, SIGNATURES),
            (feed.bitfield, BITFIELD),
        ):
            assert read_entry_size(file, kind)
        separator = "/" if told["layout"] == "hyperdrive" else "."
        place = f"dir/.dat/{name}" if told["layout"] == "dat" else f"store/{name}"
        size, digest = told["files"][f"{place}{separator}tree"]
        whole = feed.tree.read(0, feed.tree.size())
        assert (len(whole), hashlib.sha256(whole).hexdigest()) == (size, digest)
    secret = files.metadata.secret_key.read(0, 64)
    assert secret.hex() == (told.get("secretKey") or "")
    assert files.content.secret_key.size() == 0
    files.close()


@pytest.mark.parametrize("feed", ["singles", "sparse"])
def test_a_bare_feed_lies_in_a_folder_of_its_own(feed: str, pool: Descriptors):
    storage = layout.bare(vectors("feeds") / "sleep" / feed, pool)
    assert storage.key.size() == 32
    assert storage.secret_key.size() == (64 if feed == "singles" else 0)
    assert read_entry_size(storage.bitfield, BITFIELD) == 3584


def test_t50_secret_keys_of_new_archives_are_for_the_owner_only(tmp_path: Path, pool: Descriptors):
    pair = crypto.key_pair(bytes(32))
    for name, files in (
        ("flat", layout.flat(tmp_path / "flat", pool)),
        ("hyperdrive", layout.hyperdrive(tmp_path / "hyperdrive", pool)),
    ):
        files.metadata.key.write(0, pair.public)
        files.metadata.secret_key.write(0, pair.secret)
        secret = Path(files.metadata.secret_key.name)
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert layout.detect(tmp_path / name) == name


def test_nothing_is_detected_where_nothing_is_and_nothing_is_made(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    assert layout.detect(tmp_path) is None
    assert layout.detect(tmp_path / "missing") is None
    assert layout.detect(tmp_path / "file") is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_archive_that_lost_its_key_file_is_still_one(tmp_path: Path):
    (tmp_path / "metadata.tree").write_bytes(TREE.header(40))
    assert layout.detect(tmp_path) == "flat"


def test_d7_a_folder_that_cannot_be_looked_into_is_an_error(tmp_path: Path):
    (tmp_path / ".dat").symlink_to(tmp_path / ".dat")  # a link to itself, for root as for others
    with pytest.raises(StorageError, match="link"):
        layout.detect(tmp_path)
