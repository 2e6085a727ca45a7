import pytest
from yarl import URL

from datd.hosting.web.layout import (
    MAX_SPAN,
    Extent,
    cut,
    file_url,
    signed_length,
    sleep_url,
    spans,
    web_source,
)

BASE = URL("https://example.org/a/")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://example.org", "https://example.org/"),
        (" http://example.org:8080/a/b ", "http://example.org:8080/a/b/"),
        ("https://example.org/a/#part", "https://example.org/a/"),
        ("wss://example.org/KEY", "wss://example.org/KEY"),
    ],
)
def test_a_folder_of_the_web_ends_in_a_slash(written, kept):
    assert web_source(written) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https:///a",
        "https://user:word@example.org/",
        "https://example.org/?a=b",
        "https://example.org:99999/",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_T_49_what_is_no_web_source_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        web_source(text)


def test_names_are_put_into_addresses_as_they_are():
    assert str(file_url(BASE, "/a b/100%41#?.txt")) == (
        "https://example.org/a/a%20b/100%2541%23%3F.txt"
    )
    assert str(sleep_url(BASE, "metadata.tree")) == "https://example.org/a/.dat/metadata.tree"


@pytest.mark.parametrize("name", ["", "/../secret", "/.dat/metadata.data", "/a//b", "/a\\b"])
def test_names_that_leave_the_folder_have_no_address(name):
    assert file_url(BASE, name) is None


@pytest.mark.parametrize(("size", "length"), [(0, 0), (32, 0), (96, 1), (32 + 64 * 7 + 5, 7)])
def test_a_signatures_file_tells_the_length(size, length):
    assert signed_length(size) == length


def test_neighbours_in_one_file_come_with_one_request():
    files = {0: ("a", 0, 30), 30: ("b", 0, 20)}

    def locate(byte):
        start = max(at for at in files if at <= byte)
        name, _, size = files[start]
        return name, byte - start, size - (byte - start)

    extents = [Extent(n, n * 10, 10) for n in range(5)]
    found, nowhere = spans(extents, locate)
    assert [(one.name, one.start, [b.block for b in one.blocks]) for one in found] == [
        ("a", 0, [0, 1, 2]),
        ("b", 0, [3, 4]),
    ]
    assert nowhere == []


def test_blocks_of_no_file_and_over_the_end_of_one_are_told():
    extents = [Extent(0, 0, 10), Extent(1, 10, 10)]
    assert spans(extents, lambda _: None) == ([], [0, 1])
    found, nowhere = spans(extents, lambda byte: ("a", byte, 15 - byte))
    assert [block.block for one in found for block in one.blocks] == [0]
    assert nowhere == [1]


def test_no_request_is_larger_than_a_megabyte():
    extents = [Extent(n, n * MAX_SPAN // 2, MAX_SPAN // 2) for n in range(4)]
    found, _ = spans(extents, None)
    assert [one.size for one in found] == [MAX_SPAN, MAX_SPAN]


def test_a_short_answer_lacks_its_last_blocks():
    (span,), _ = spans([Extent(0, 0, 3), Extent(1, 3, 3)], None)
    assert cut(span, b"abcde") == [(0, b"abc"), (1, None)]
