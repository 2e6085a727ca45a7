import pytest

from datd.archive.creation import open_own
from datd.errors import StorageError
from datd.hosting.descriptors import Descriptors
from datd.hosting.own.founding import found
from datd.hosting.own.secrets import Secrets
from datd.storage import layout


@pytest.fixture
def pool():
    made = Descriptors(32)
    yield made
    made.close()


def test_a_new_archive_opens_with_its_secret_and_is_not_written_without(tmp_path, pool):
    secrets = Secrets(tmp_path / "keys")
    key = found(tmp_path / "archives", secrets, pool)
    name = str(key.discovery_key)
    folder = tmp_path / "archives" / name[:2] / name[2:]
    read_only = open_own(layout.flat(folder, pool), key)
    assert (read_only.version, read_only.metadata.writable) == (0, False)
    ours = open_own(layout.flat(folder, pool), key, secret=secrets.read(key.discovery_key))
    assert ours.content is not None
    assert ours.metadata.writable
    assert ours.content.writable
    assert not list(folder.glob("*secret*"))


def test_its_mark_is_its_header(tmp_path, pool):
    secrets = Secrets(tmp_path / "keys")
    mark = secrets.mark(found(tmp_path / "archives", secrets, pool).discovery_key)
    assert mark is not None
    assert mark.metadata is not None
    assert (mark.metadata.length, mark.content) == (1, None)


def test_no_two_are_alike(tmp_path, pool):
    secrets = Secrets(tmp_path / "keys")
    assert len({found(tmp_path / "archives", secrets, pool).hex for _ in range(3)}) == 3


def test_without_a_place_for_the_key_there_is_no_archive(tmp_path, pool):
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        found(tmp_path / "archives", Secrets(tmp_path / "keys"), pool)
    assert not (tmp_path / "archives").exists()
