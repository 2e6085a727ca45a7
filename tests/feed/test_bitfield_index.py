from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.index_positions import positions

from datd.feed.bitfield_index import UpperIndex, old_index_areas, page_index, page_root

BLANK, FULL = bytes(1024), b"\xff" * 1024
PAGES = st.sampled_from(
    [
        BLANK,
        FULL,
        FULL[:512] + BLANK[:512],
        b"\x80" + BLANK[1:],
        BLANK[1:] + b"\x01",
        FULL[1:] + b"\0",
    ]
)


@given(page=st.one_of(PAGES, st.binary(min_size=1024, max_size=1024)))
@settings(deadline=None, max_examples=40)
def test_one_page_is_indexed_by_definition(page: bytes):
    area = page_index(page)
    assert area[:511] == positions([page], 512)[:511]
    assert page_root(page) == area[255]


@given(pages=st.lists(PAGES, min_size=1, max_size=9), order=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_positions_above_pages_do_not_depend_on_the_order_of_events(pages, order):
    expected = positions(pages, 512)
    uppers = UpperIndex()
    count = 0
    arrival = list(range(len(pages)))
    order.shuffle(arrival)
    for number in arrival:
        count = max(count, number + 1)
        uppers.update({number: page_root(pages[number])}, count)
    assert [uppers.get(n) for n in range(len(pages))] == list(expected[511::512])


def test_pages_whose_upper_byte_changed_are_told():
    uppers = UpperIndex()
    assert uppers.update({0: page_root(FULL)}, 1) == {0}
    assert uppers.update({0: page_root(FULL)}, 1) == set()
    assert uppers.update({1: page_root(FULL)}, 2) == {0, 1}
    assert uppers.update({4: page_root(BLANK)}, 5) == {3}


@given(pages=st.lists(PAGES, min_size=1, max_size=7))
@settings(deadline=None, max_examples=60)
def test_old_pages_hold_the_same_function_cut_where_positions_end(pages: list[bytes]):
    expected = positions(pages, 256)
    areas = old_index_areas(dict(enumerate(pages)), len(pages))
    got = b"".join(areas.get(number, bytes(256)) for number in range(len(pages)))
    assert got == expected
