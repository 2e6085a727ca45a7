from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.feeds import FILE_MODE, ArchiveWriter, feed_of, index_feed, sparse_copy

from datd.archive.entries import Stat, encode_entry
from datd.archive.plain_files import PlainFiles


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
