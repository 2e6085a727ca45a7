import pytest
from tests.helpers.feeds import content_of
from tests.helpers.own_archives import (
    PAIR,
    THEN,
    files,
    memory_files,
    new_archive,
    put,
    read,
    written,
)
from tests.helpers.small_feeds import FullDisk

from datd.archive import writer as writing
from datd.archive.archive import Archive
from datd.archive.creation import create, open_own
from datd.archive.entries import DIRECTORY_MODE
from datd.archive.writer import ArchiveWriter, stored_names
from datd.crypto import leaf_hash
from datd.errors import (
    EntryNotFound,
    FolderNotEmpty,
    NotWritableError,
    PathRefused,
    StorageError,
)
from datd.feed.appending import MAX_BLOCK_SIZE
from datd.feed.feed import Feed
from datd.storage.layout import ArchiveFiles
from datd.storage.memory import memory_feed_storage


def test_a_file_is_read_as_it_was_written():
    archive = new_archive()
    writer = ArchiveWriter(archive)
    draft = writer.begin()
    draft.write([b"a" * 65536, b"", b"b" * 1000])
    draft.write([b"c"])
    assert (draft.blocks, draft.size) == (3, 66537)
    assert writer.put("/x/file", draft, mode=0o4755, mtime=THEN, ctime=THEN + 1) == 1
    assert (writer.queued, archive.version) == (1, 0)
    committed = writer.commit()
    assert (committed.metadata, committed.content) == (range(1, 2), range(3))
    assert read(archive, "/x/file") == b"a" * 65536 + b"b" * 1000 + b"c"
    stat = archive.stat("/x/file")
    assert (stat.mode, stat.mtime, stat.ctime) == (0o104755, THEN, THEN + 1)
    nothing = writer.commit()
    assert (len(nothing.metadata), len(nothing.content), writer.queued) == (0, 0, 0)


def test_an_empty_file_has_no_blocks():
    archive, writer = written("/before")
    put(writer, "/empty")
    writer.commit()
    stat = archive.stat("/empty")
    assert (stat.size, stat.blocks, stat.offset, stat.byte_offset) == (0, 0, 1, len("/before"))


def test_waiting_entries_are_seen_by_look_ups_of_the_writer_and_by_nobody_else():
    archive, writer = written("/old", "/kept")
    put(writer, "/new/file", b"1")
    writer.remove("/old")
    assert [name for name, _ in writer.archive.list("/")] == ["kept", "new"]
    assert [name for name, _ in archive.list("/")] == ["kept", "old"]
    found = writer.find("new/file")
    assert found is not None
    assert found.seq == 3
    assert writer.find("/old") is None
    assert writer.find("/new") is None
    assert writer.find("/") is None
    assert writer.archive.version == 4
    with pytest.raises(EntryNotFound):
        writer.archive.stat("/old")
    writer.commit()
    assert [name for name, _ in archive.list("/")] == ["kept", "new"]


def test_a_path_that_is_a_file_and_a_folder_is_found_as_both():
    archive, writer = written("/a", "/a/b")
    found = writer.find("/a")
    assert found is not None
    assert found.seq == 1
    writer.remove("/a")
    writer.commit()
    assert files(archive) == [("/a/b", b"/a/b")]


def test_replacing_a_file_leaves_the_old_version_readable():
    archive, writer = written("/f")
    put(writer, "/f", b"second")
    writer.commit()
    assert read(archive, "/f", 1) == b"/f"
    assert read(archive, "/f") == b"second"
    assert len(archive.list("/")) == 1


# Paths


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("a\\b", "/a/b"),
        ("c/", "/c"),
        ("/d//e/", "/d/e"),
        ("../g", "/g"),
        ("j/../../k", "/k"),
        ("./ü x/é", "/ü x/é"),
    ],
)
def test_paths_are_stored_as_hyperdrive_stores_them(given, stored):
    archive, _ = written(given)
    assert [path for path, _ in archive.walk()] == [stored]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/", "the archive itself"),
        ("a/..", "the archive itself"),
        ("bad \udce4 name", "UTF-8"),
        ("x" * 65536, "65536"),
        ("/a" * 1001, "1000"),
    ],
)
def test_a_path_that_no_archive_can_hold_is_refused_and_the_draft_stays(path, why):
    archive = new_archive()
    writer = ArchiveWriter(archive)
    draft = writer.begin()
    draft.write([b"1"])
    with pytest.raises(PathRefused, match=why):
        writer.put(path, draft, mtime=THEN, ctime=THEN)
    assert writer.queued == 0
    writer.put("/good", draft, mtime=THEN, ctime=THEN)
    writer.commit()
    assert files(archive) == [("/good", b"1")]


def test_the_longest_and_deepest_paths_are_found_again():
    archive, _ = written("x" * 65535, "/a" * 1000)
    assert read(archive, "/a" * 1000) == b"/a" * 1000
    assert archive.stat("x" * 65535).size == 65535
    assert stored_names("/a" * 1000) == ("a",) * 1000


# Removing


def test_what_is_not_there_cannot_be_removed():
    _, writer = written("/a/b")
    writer.remove("/a/b")
    for path in ("/a/b", "/a", "/never", "/never/was"):
        with pytest.raises(EntryNotFound):
            writer.remove(path)
    with pytest.raises(EntryNotFound):
        writer.rmdir("/a")
    assert writer.queued == 1


def test_a_folder_is_not_removed_as_a_file():
    _, writer = written("/a/b")
    writer.mkdir("/e", mtime=THEN, ctime=THEN)
    for path in ("/a", "/e", "/"):
        with pytest.raises(PathRefused, match="folder"):
            writer.remove(path)


def test_an_explicit_folder_lives_without_files_and_goes_only_when_empty():
    archive, writer = written("/other")
    writer.mkdir("/e", mtime=THEN, ctime=THEN)
    put(writer, "/e/f", b"1")
    with pytest.raises(FolderNotEmpty):
        writer.rmdir("/e")
    writer.remove("/e/f")
    writer.commit()
    stat = archive.stat("/e")
    assert (stat.mode, stat.offset, stat.byte_offset) == (DIRECTORY_MODE, 1, 6)
    with pytest.raises(PathRefused, match="exists"):
        writer.mkdir("/e", mtime=THEN, ctime=THEN)
    writer.rmdir("/e")
    with pytest.raises(EntryNotFound):
        writer.rmdir("/other")
    with pytest.raises(FolderNotEmpty):
        writer.rmdir("/")
    writer.commit()
    assert [name for name, _ in archive.list("/")] == ["other"]


# Drafts


def test_one_file_is_written_at_a_time_and_once():
    writer = ArchiveWriter(new_archive())
    draft = writer.begin()
    with pytest.raises(ValueError, match="still being written"):
        writer.begin()
    writer.put("/a", draft, mtime=THEN, ctime=THEN)
    for use in (
        lambda: draft.write([b"1"]),
        lambda: writer.put("/b", draft, mtime=THEN, ctime=THEN),
        lambda: writer.abandon(draft),
    ):
        with pytest.raises(ValueError, match="done with"):
            use()
    other = writer.begin()
    with pytest.raises(ValueError, match="bytes"):
        other.write([b"fine", bytes(MAX_BLOCK_SIZE + 1)])
    assert other.blocks == 0


def test_what_waits_of_an_abandoned_file_is_never_stored(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 100)
    archive = new_archive()
    writer = ArchiveWriter(archive)
    put(writer, "/first", b"x" * 60)
    draft = writer.begin()
    draft.write([b"stored" * 20, b"too"])  # with the first file, this makes a batch
    draft.write([b"waits"])
    writer.abandon(draft)
    draft = writer.begin()
    draft.write([b"waits"])
    writer.abandon(draft)
    put(writer, "/last", b"y")
    writer.commit()
    assert files(archive) == [("/first", b"x" * 60), ("/last", b"y")]
    assert content_of(archive).length == 4


def test_content_is_hashed_beside_while_the_batch_before_is_written(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 10)
    begun: list[list[bytes]] = []
    waited: list[list[bytes]] = []

    def hashing(blocks):
        begun.append(list(blocks))

        def wait():
            waited.append(list(blocks))
            return [leaf_hash(block) for block in blocks]

        return wait

    archive = new_archive()
    writer = ArchiveWriter(archive, hashing=hashing)
    batches = [[f"batch number {n}".encode()] for n in range(1, 5)]
    for number, batch in enumerate(batches):
        put(writer, f"/{number}", *batch)
        assert begun == batches[: number + 1]
        assert waited == begun[: -writing.BATCHES_AHEAD]
    put(writer, "/last", b"last")
    writer.commit()
    assert waited == begun == [*batches, [b"last"]]
    assert [read(archive, f"/{n}") for n in range(4)] == [block for [block] in batches]
    assert read(archive, "/last") == b"last"


def test_content_goes_down_in_batches_and_memory_holds_a_few(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 1000)
    monkeypatch.setattr(writing, "CONTENT_BATCH_BLOCKS", 5)
    archive = new_archive()
    content = content_of(archive)
    writer = ArchiveWriter(archive)
    draft = writer.begin()
    for _ in range(14):
        draft.write([bytes(300)])
        assert writer._waiting_size < 1000
    assert content.length == 4  # eight more are being hashed
    writer.put("/large", draft, mtime=THEN, ctime=THEN)
    for number in range(7):
        put(writer, f"/{number}", b"1")
        assert len(writer._waiting) < 5
    writer.commit()
    signed = [n for n in range(1, 22) if content._store.signature_of(n) is not None]
    assert signed == [4, 8, 12, 17, 21]
    assert archive.stat("/6").offset == 20


def test_a_commit_in_the_middle_of_a_file_tells_its_blocks_and_not_its_name():
    archive = new_archive()
    writer = ArchiveWriter(archive)
    draft = writer.begin()
    draft.write([b"one"])
    committed = writer.commit()
    assert (committed.metadata, committed.content) == (range(1, 1), range(1))
    draft.write([b"two"])
    writer.put("/f", draft, mtime=THEN, ctime=THEN)
    committed = writer.commit()
    assert (committed.metadata, committed.content) == (range(1, 2), range(1, 2))
    assert files(archive) == [("/f", b"onetwo")]


# Keys and disks


def test_an_archive_without_its_secret_is_only_read():
    files_of = memory_files()
    archive = create(files_of, PAIR)
    content = content_of(archive)
    for readable in (
        Archive(Feed.open(memory_feed_storage(), archive.metadata.key), content),
        Archive(archive.metadata, Feed.open(memory_feed_storage(), content.key)),
        Archive(archive.metadata),
    ):
        with pytest.raises(NotWritableError, match="secret key"):
            ArchiveWriter(readable)


@pytest.mark.parametrize("feed", ["content", "metadata"])
@pytest.mark.parametrize("file", ["data", "tree"])
def test_c7_d12_on_a_full_disk_everything_waits_and_goes_down_later(feed, file):
    feeds = memory_files()
    disk = FullDisk(name=file)
    object.__setattr__(getattr(feeds, feed), file, disk)
    archive = create(feeds, PAIR)
    writer = ArchiveWriter(archive)
    put(writer, "/a", b"1")
    writer.commit()
    put(writer, "/b/1", b"2")
    put(writer, "/b/2", b"3")
    writer.remove("/a")
    disk.full = True
    for _ in range(2):
        with pytest.raises(StorageError, match="full"):
            writer.commit()
        assert (archive.version, writer.queued) == (1, 3)
        assert files(archive) == [("/a", b"1")]
    disk.full = False
    put(writer, "/c", b"4")
    committed = writer.commit()
    assert (committed.metadata, committed.content) == (range(2, 6), range(1, 4))
    archive.metadata.close()
    content_of(archive).close()
    again = open_own(feeds, clean=False)
    assert files(again) == [("/b/1", b"2"), ("/b/2", b"3"), ("/c", b"4")]


def test_c7_d12_blocks_that_the_disk_refused_are_handed_in_again(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 10)
    feeds = memory_files()
    disk = FullDisk(name="data")
    object.__setattr__(feeds.content, "data", disk)
    archive = create(feeds, PAIR)
    writer = ArchiveWriter(archive)
    put(writer, "/small", b"waits")
    draft = writer.begin()
    for _ in range(writing.BATCHES_AHEAD):
        draft.write([b"large enough"])  # is hashed while we go on
    disk.full = True
    for _ in range(2):
        with pytest.raises(StorageError):
            draft.write([b"and more of it"])
    assert (draft.blocks, draft.size) == (writing.BATCHES_AHEAD, 12 * writing.BATCHES_AHEAD)
    disk.full = False
    draft.write([b"and more of it"])
    writer.put("/large", draft, mtime=THEN, ctime=THEN)
    writer.commit()
    large = b"large enough" * writing.BATCHES_AHEAD + b"and more of it"
    assert files(archive) == [("/small", b"waits"), ("/large", large)]


@pytest.mark.parametrize("feed", ["content", "metadata"])
def test_d4_after_a_failed_flush_nothing_more_is_written(feed):
    class Failing(FullDisk):
        broken = False

        def sync(self):
            if self.broken:
                self.broken = False  # the kernel tells it once
                raise StorageError("the disk reports a fault")

    feeds = memory_files()
    disk = Failing(name="data")
    object.__setattr__(getattr(feeds, feed), "data", disk)
    archive = create(feeds, PAIR)
    writer = ArchiveWriter(archive)
    put(writer, "/a", b"1")
    disk.broken = True
    with pytest.raises(StorageError, match="fault"):
        writer.commit()
    for _ in range(2):
        with pytest.raises(StorageError, match="open it anew"):
            writer.commit()
    assert archive.version == (0 if feed == "content" else 1)


def test_content_is_durable_before_an_entry_names_it():
    events: list[str] = []

    class Noted(FullDisk):
        def write_many(self, writes):
            events.append(f"{self.name} written")
            super().write_many(writes)

        def sync(self):
            events.append(f"{self.name} flushed")

    feeds = ArchiveFiles(memory_feed_storage(), memory_feed_storage())
    object.__setattr__(feeds.metadata, "data", Noted(name="metadata"))
    object.__setattr__(feeds.content, "data", Noted(name="content"))
    writer = ArchiveWriter(create(feeds, PAIR))
    events.clear()
    put(writer, "/a", b"1")
    writer.commit()
    assert events == [
        "content written",
        "content flushed",
        "metadata written",
        "metadata flushed",
    ]


def test_a_backslash_means_a_folder_for_what_is_written_and_itself_for_what_is_there():
    archive, writer = written("/a\\b")
    assert [path for path, _ in archive.walk("/")] == ["/a/b"]
    # Other writers can make such names, and hyperdrive lists them.
    stat = archive.stat("/a/b")
    writer._put_entry("/a\\b", ("a\\b",), stat)
    writer._put_entry("/x\\y", ("x\\y",), stat)
    writer.commit()
    assert read(archive, "/a\\b") == read(archive, "/a/b")
    writer.remove("/a\\b")
    writer.commit()
    assert [path for path, _ in archive.walk("/")] == ["/a/b", "/x\\y"]
    with pytest.raises(EntryNotFound):
        writer.remove("/a\\b")
