import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.http.paging import decode_cursor, encode_cursor, page_of
from datd.http.problems import Problem


def walk(items, *, limit, descending=False):
    pages, after = [], None
    while True:
        page, after = page_of(
            items, lambda item: item, after=after, limit=limit, descending=descending
        )
        pages.append(page)
        if after is None:
            return pages


def test_pages_follow_one_another_in_order():
    assert walk([3, 1, 2, 5, 4], limit=2) == [[1, 2], [3, 4], [5]]
    assert walk([3, 1, 2, 5, 4], limit=2, descending=True) == [[5, 4], [3, 2], [1]]


def test_a_page_that_takes_all_is_the_last():
    assert walk([1, 2], limit=2) == [[1, 2]]
    assert walk([], limit=2) == [[]]


def test_nothing_is_shown_twice_or_lost_when_items_come_and_go_between_pages():
    first, after = page_of([1, 3, 5, 7], int, after=None, limit=2, descending=False)
    second, _ = page_of([0, 1, 4, 5, 7], int, after=after, limit=10, descending=False)
    assert first + second == [1, 3, 4, 5, 7]


def test_a_cursor_gives_its_values_back():
    text = encode_cursor("-name", "Ä/ö", 1.5, "k")
    assert text.isascii()
    assert decode_cursor(text, (str,), (str,), (int, float), (str,)) == ["-name", "Ä/ö", 1.5, "k"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "!!!!",
        "é",
        "A" * 300_000,
        encode_cursor("one"),
        encode_cursor("one", 2, 3),
        encode_cursor(1, "two"),
        encode_cursor("one", None),
    ],
)
def test_a_foreign_cursor_is_a_bad_request(text):
    with pytest.raises(Problem) as caught:
        decode_cursor(text, (str,), (int,))
    assert caught.value.kind == "bad_request"


def test_true_is_not_taken_for_a_number():
    with pytest.raises(Problem):
        decode_cursor("W3RydWVd", (int,))  # [true]


@given(st.text(max_size=200))
def test_any_text_is_a_cursor_or_a_bad_request(text):
    try:
        (value,) = decode_cursor(text, (str,))
    except Problem:
        return
    assert isinstance(value, str)
