import pytest

from datd.words import counted, size_text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (2, "file", "2 files"),
        (1, "entry", "1 entry"),
        (1000, "entry", "1000 entries"),
    ],
)
def test_one_is_one_and_others_are_several(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.00 kB"),
        (9_999, "10.0 kB"),
        (99_990, "100 kB"),
        (900_001, "900 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_951_424, "1.95 MB"),
        (1234 * 10**15, "1234 PB"),
    ],
)
def test_sizes_have_three_digits_and_a_unit(size, text):
    assert size_text(size) == text
