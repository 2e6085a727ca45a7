import shutil
import stat
from pathlib import Path

import pytest
from tests.helpers.vectors import vectors
from tests.suites.random_access import RandomAccessSuite

from datd.errors import StorageError
from datd.hosting.descriptors import Descriptors
from datd.storage.disk import DiskFile
from datd.storage.memory import MemoryFile
from datd.storage.owner import OwnerKeyFile

ONE = "6d/04a859a126e8fe91b6c32ac58621d500ba1f80a53fcdbeb0ae6812135e1022"


@pytest.fixture
def public() -> bytes:
    return (vectors("archives") / "latest-one" / "dir" / ".dat" / "metadata.key").read_bytes()


class TestOwnerKeyFile(RandomAccessSuite):
    @pytest.fixture
    def file(self, tmp_path: Path, pool: Descriptors, public: bytes):
        return OwnerKeyFile(MemoryFile(), MemoryFile(public), tmp_path / "secret_keys", pool)


def test_the_recorded_key_is_found_by_its_discovery_key(pool: Descriptors):
    recorded = vectors("archives") / "latest-one"
    hidden = recorded / "dir" / ".dat"
    file = OwnerKeyFile(
        DiskFile(hidden / "metadata.ogd", pool),
        DiskFile(hidden / "metadata.key", pool),
        recorded / "secret_keys",
        pool,
    )
    assert file.read(0, 100) == (recorded / "secret_keys" / ONE).read_bytes()
    assert file.size() == 64
    assert file.name.endswith(ONE)


def test_without_an_owner_mark_the_key_does_not_count(
    tmp_path: Path, pool: Descriptors, public: bytes
):
    shutil.copytree(vectors("archives") / "latest-one" / "secret_keys", tmp_path / "keys")
    mark = MemoryFile()
    file = OwnerKeyFile(mark, MemoryFile(public), tmp_path / "keys", pool)
    assert (file.read(0, 64), file.size()) == (b"", 0)
    mark.write(0, b"\x07")
    assert file.size() == 64


def test_t50_a_key_is_written_for_the_owner_only_behind_its_mark(
    tmp_path: Path, pool: Descriptors, public: bytes
):
    mark = MemoryFile()
    file = OwnerKeyFile(mark, MemoryFile(public), tmp_path / "keys", pool)
    file.write(0, b"k" * 64)
    file.sync()
    path = tmp_path / "keys" / ONE
    assert path.read_bytes() == b"k" * 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert mark.read(0, 2) == b"\0"


def test_without_a_folder_of_keys_the_archive_is_read_only(pool: Descriptors, public: bytes):
    file = OwnerKeyFile(MemoryFile(b"\0"), MemoryFile(public), None, pool)
    assert file.size() == 0
    with pytest.raises(StorageError, match="cannot keep the secret key"):
        file.write(0, b"k" * 64)


def test_a_key_is_not_written_before_the_feed_has_its_own(tmp_path: Path, pool: Descriptors):
    mark, key = MemoryFile(), MemoryFile()
    file = OwnerKeyFile(mark, key, tmp_path / "keys", pool)
    with pytest.raises(StorageError, match="must be there first"):
        file.write(0, b"k" * 64)
    assert mark.size() == 0
