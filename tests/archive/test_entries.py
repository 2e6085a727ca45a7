import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.feeds import index_names, index_vector

from datd.archive.entries import Entry, Header, Stat, encode_entry, split_name
from datd.errors import ArchiveFormatError

NUMBERS = st.integers(0, 2**52 - 1)


def stat_of(row):
    if row is None:
        return None
    return Stat(
        row["mode"],
        row["uid"],
        row["gid"],
        row["size"],
        row["blocks"],
        row["offset"],
        row["byteOffset"],
        row["mtime"],
        row["ctime"],
    )


@pytest.mark.parametrize("name", index_names())
def test_entries_of_the_reference_read_and_write_back_to_the_byte(name):
    header, *entries = index_vector(name)["entries"]
    found = Header.decode(bytes.fromhex(header["hex"]))
    assert (found.type, found.content_key.hex()) == (header["type"], header["content"])
    assert found.encode().hex() == header["hex"]
    for row in entries:
        entry = Entry.decode(row["seq"], bytes.fromhex(row["hex"]))
        assert (entry.name, entry.stat) == (row["name"], stat_of(row["stat"]))
        assert entry.rows.decoded() == row["paths"]
        again = encode_entry(row["seq"], row["name"], stat_of(row["stat"]), row["paths"])
        assert again.hex() == row["hex"]


@pytest.mark.parametrize(
    ("name", "components"),
    [
        ("/a/b", ("a", "b")),
        ("a/b/", ("a", "b")),
        ("/", ()),
        ("", ()),
        ("//", ("",)),
        ("/a//b", ("a", "", "b")),
        ("/a/../b", ("a", "..", "b")),
    ],
)
def test_names_split_as_the_index_counts_them(name, components):
    assert split_name(name) == components


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\x0a",
        b"\x12\x00",  # no name
        b"\x0a\x02\xff\xfe",  # no UTF-8
        b"\x0a\x81\x80\x04/" + b"x" * 65_536,
    ],
)
def test_a_block_that_is_no_entry_is_refused(block):
    with pytest.raises(ArchiveFormatError, match="entry 7"):
        Entry.decode(7, block)


def test_t27_names_of_64_kib_are_read():
    name = "/" + "x" * 65_535
    assert Entry.decode(1, encode_entry(1, name, None, [[]])).name == name


@pytest.mark.parametrize(
    "value",
    [
        b"\x10\x00",  # no mode
        b"\x08",
        b"\x08\xa4\x83\x02\x20\x80\x80\x80\x80\x80\x80\x80\x10",  # size 2^53
        # offset and blocks, each below 2^53, both together not
        b"\x08\xa4\x83\x02\x28" + b"\xff" * 7 + b"\x0f\x30\x01",
    ],
)
def test_t26_a_stat_that_makes_no_sense_is_none(value):
    block = b"\x0a\x02/a\x12" + bytes((len(value),)) + value
    assert Entry.decode(1, block).stat is None


def test_directories_are_written_as_mkdir_does_and_keep_an_owner():
    assert Stat(0o40755, offset=1, byte_offset=5, mtime=2, ctime=3).encode().hex() == (
        "08ed8301300138054002" + "4803"
    )
    assert Stat.decode(Stat(0o40755, uid=7).encode()).uid == 7


@given(
    st.builds(
        Stat,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        *[NUMBERS] * 6,
    )
)
def test_stats_survive_writing_and_reading(stat):
    again = Stat.decode(stat.encode())
    if stat.is_directory:
        assert (again.mode, again.uid, again.mtime) == (stat.mode, stat.uid, stat.mtime)
    else:
        assert again == stat


@given(st.binary(max_size=200))
def test_random_bytes_are_an_entry_or_our_error(data):
    for decode in (Header.decode, Stat.decode, lambda block: Entry.decode(3, block)):
        with contextlib.suppress(ArchiveFormatError):
            decode(data)
