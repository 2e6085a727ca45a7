import pytest
from tests.helpers.feeds import content_of, index_names, index_vector
from tests.helpers.own_archives import PAIR, files, memory_files, put

from datd import crypto
from datd.archive.creation import create, open_own
from datd.archive.writer import ArchiveWriter
from datd.errors import ArchiveFormatError, StorageError
from datd.feed.feed import Feed
from datd.hosting.descriptors import Descriptors
from datd.storage import layout


@pytest.mark.parametrize("name", index_names())
def test_a_new_archive_has_the_keys_and_the_header_that_the_reference_makes(name):
    vector = index_vector(name)
    archive = create(memory_files(), crypto.key_pair(bytes.fromhex(vector["seed"])))
    assert archive.metadata.key.hex == vector["metadata_key"]
    assert content_of(archive).key.hex == vector["content_key"]
    assert archive.metadata.get(0).hex() == vector["entries"][0]["hex"]
    assert (archive.version, archive.list("/")) == (0, [])


def test_a_new_archive_is_on_disk_at_once_and_written_on_after_a_crash(tmp_path):
    pool = Descriptors()
    feeds = layout.flat(tmp_path / "new", pool)
    create(feeds, PAIR)  # and never closed
    secret = tmp_path / "new" / "metadata.secret_key"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "new" / "content.secret_key").exists()
    archive = open_own(layout.flat(tmp_path / "new", pool), clean=False)
    writer = ArchiveWriter(archive)
    put(writer, "/a", b"1")
    writer.commit()
    assert files(open_own(feeds, clean=False)) == [("/a", b"1")]
    pool.close()


def test_d7_no_archive_is_made_where_one_lies():
    feeds = memory_files()
    archive = create(feeds, PAIR)
    with pytest.raises(StorageError, match="not empty"):
        create(feeds, crypto.key_pair(bytes(32)))
    assert open_own(feeds).metadata.key == archive.metadata.key


def test_a_secret_that_is_kept_elsewhere_opens_both_feeds_for_writing():
    feeds = memory_files()
    key = create(feeds, PAIR).metadata.key
    feeds.metadata.secret_key.truncate(0)
    readable = open_own(feeds, key)
    assert (readable.metadata.writable, content_of(readable).writable) == (False, False)
    own = open_own(feeds, key, secret=PAIR.secret)
    assert (own.metadata.writable, content_of(own).writable) == (True, True)


def test_where_no_header_or_no_archive_lies_nothing_is_opened():
    with pytest.raises(StorageError):
        open_own(memory_files())
    feeds = memory_files()
    Feed.create(feeds.metadata, PAIR)
    with pytest.raises(StorageError, match="header"):
        open_own(feeds)
    feeds = memory_files()
    Feed.create(feeds.metadata, PAIR).append([b"a plain feed"])
    with pytest.raises(ArchiveFormatError):
        open_own(feeds)
