import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.http.ranges import MAX_RANGES, ByteRange, RangeNotSatisfiable, parse_ranges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(9500, 10000)]),
        ("bytes=9500-", [(9500, 10000)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 10000)]),
        ("bytes= 0-999, 4500-5499 , -1000", [(0, 1000), (4500, 5500), (9000, 10000)]),
        ("BYTES=1-1", [(1, 2)]),
        ("bytes=0-99999", [(0, 10000)]),
        ("bytes=-99999", [(0, 10000)]),
        ("bytes=0-1,20000-", [(0, 2)]),
    ],
)
def test_ranges_of_the_rfc_on_a_file_of_10000_bytes(header, expected):
    assert parse_ranges(header, 10000) == [ByteRange(*part) for part in expected]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0-1,x",
        "items=0-1",
        "bytes=0x1-2",
        "bytes=\u0661-\u0662",
        "bytes=" + "1" * 400 + "-",
    ],
)
def test_what_is_no_range_means_the_whole_file(header):
    assert parse_ranges(header, 10000) == []


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_a_range_behind_the_end_is_not_satisfiable(header):
    with pytest.raises(RangeNotSatisfiable):
        parse_ranges(header, 10000)


def test_an_empty_file_satisfies_no_range():
    for header in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        with pytest.raises(RangeNotSatisfiable):
            parse_ranges(header, 0)


def test_l24_more_ranges_than_the_limit_mean_the_whole_file():
    parts = [f"{number * 2}-{number * 2}" for number in range(MAX_RANGES + 1)]
    assert len(parse_ranges("bytes=" + ",".join(parts[:-1]), 10000)) == MAX_RANGES
    assert parse_ranges("bytes=" + ",".join(parts), 10000) == []


def test_ranges_that_repeat_the_file_are_not_an_amplifier():
    assert parse_ranges("bytes=0-,0-,0-", 10000) == []


def test_content_range_names_the_last_byte():
    assert ByteRange(5, 10).content_range(20) == "bytes 5-9/20"


@given(st.text(max_size=60) | st.from_regex(r"bytes=[0-9,\- ]{0,40}"), st.integers(0, 2**53))
def test_any_header_gives_parts_within_the_file_or_says_there_are_none(header, size):
    try:
        found = parse_ranges(header, size)
    except RangeNotSatisfiable:
        return
    assert len(found) <= MAX_RANGES
    assert all(0 <= part.start < part.stop <= size for part in found)
    assert sum(part.length for part in found) <= size
