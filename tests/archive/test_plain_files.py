from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.feeds import FILE_MODE, ArchiveWriter, feed_of, index_feed, sparse_copy
from tests.helpers.own_archives import new_archive, put

from datd.archive.entries import Stat, encode_entry
from datd.archive.plain_files import PlainFiles
from datd.archive.writer import ArchiveWriter as HonestWriter


def naive(entries, byte):
    """The last file in the feed that covers a byte, by looking at all."""
    found = None
    for name, start, size in entries:
        if start <= byte < start + size:
            found = (name.removeprefix("/"), byte - start, start + size - byte)
    return found


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 50)),
            st.just(("del", 0)),
            st.just(("mkdir", 0)),
        ),
        max_size=60,
    )
)
def test_every_byte_is_found_in_the_file_that_was_written_there(history):
    blocks, files, start = [b"header"], [], 0
    for seq, (kind, size) in enumerate(history, 1):
        name = f"/{seq % 7}"
        stat = None
        if kind == "put":
            stat = Stat(FILE_MODE, size=size, blocks=1, byte_offset=start)
            files.append((name, start, size))
            start += size
        elif kind == "mkdir":
            stat = Stat(0o40755, byte_offset=start)
        blocks.append(encode_entry(seq, name, stat, [[seq], [seq]]))
    plain = PlainFiles(feed_of(blocks))
    for byte in [*range(0, start, 3), start, start + 1, 2**52]:
        assert plain.locate(byte) == naive(files, byte)


def test_long_stretches_of_deletions_are_passed():
    writer = ArchiveWriter()
    writer.entry("/a", stat=Stat(FILE_MODE, size=10, blocks=1))
    for _ in range(300):
        writer.raw(encode_entry(writer.next, "/a", None, [[]]))
    writer.entry("/b", stat=Stat(FILE_MODE, size=5, blocks=1, byte_offset=10))
    plain = PlainFiles(writer.archive().metadata)
    for _ in range(2):
        assert plain.locate(9) == ("a", 9, 1)
        assert plain.locate(12) == ("b", 2, 3)


def test_entries_that_are_not_here_map_no_byte_and_hide_none():
    source = index_feed("flat")
    whole, sparse = PlainFiles(source), PlainFiles(sparse_copy(source, [0, 2]))
    known = [byte for byte in range(100) if sparse.locate(byte)]
    assert known
    assert all(sparse.locate(byte) == whole.locate(byte) for byte in known)
    assert len(known) < sum(1 for byte in range(100) if whole.locate(byte))


def test_nothing_is_mapped_before_the_metadata_is_open():
    plain = PlainFiles()
    assert plain.locate(0) is None
    plain.metadata = index_feed("flat")
    assert plain.locate(0) is not None


def test_blocks_that_are_no_entries_are_passed():
    entry = encode_entry(2, "/a", Stat(FILE_MODE, size=4, blocks=1), [[2], [2]])
    assert PlainFiles(feed_of([b"x", b"\xff", entry, b"\x0a"])).locate(1) == ("a", 1, 3)


def versions(*files: tuple[str, bytes | None]) -> PlainFiles:
    """Files put (or deleted) one after the other."""
    archive = new_archive()
    writer = HonestWriter(archive)
    for name, body in files:
        if body is None:
            writer.remove(name)
        else:
            put(writer, name, body)
    writer.commit()
    return PlainFiles(archive.metadata)


def test_only_the_newest_version_of_a_name_has_a_place_in_the_folder():
    plain = versions(("/a", b"old"), ("/b", b"kept"), ("/a", b"newer"), ("/c", b"x"), ("/c", None))
    assert plain.place(0) == ("", 0, 3)
    assert plain.place(5) == ("b", 2, 2)
    assert plain.place(8) == ("a", 1, 4)
    assert plain.place(12) == ("", 0, 1)
    assert plain.place(13) is None


def test_a_newer_entry_takes_the_place_at_once():
    archive = new_archive()
    writer = HonestWriter(archive)
    put(writer, "/a", b"old")
    writer.commit()
    plain = PlainFiles(archive.metadata)
    assert plain.place(1) == ("a", 1, 2)
    put(writer, "/a", b"new")
    assert plain.place(4) is None
    writer.commit()
    assert (plain.place(1), plain.place(4)) == (("", 1, 2), ("a", 1, 2))


def test_a_file_that_is_imported_has_its_place_before_its_entry():
    plain = versions(("/a", b"old"))
    plain.begin("b", 3)
    plain.begin("c", 10)
    assert plain.place(2) == ("a", 2, 1)
    assert plain.place(5) == ("b", 2, 5)
    name, at, left = plain.place(11) or ("", 0, 0)
    assert (name, at, left > 2**50) == ("c", 1, True)
    plain.begin("d", 10)  # the one before was given up
    assert (plain.place(11) or ("",))[0] == "d"
