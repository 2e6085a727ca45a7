import pytest

from datctl import amounts
from datctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "meant"),
    [("90s", 90), ("90min", 5_400), ("90m", 5_400), ("12h", 43_200), ("30d", 2_592_000),
     ("1.5 h", 5_400), ("2W", 1_209_600), ("1y", 31_622_400)],
)  # fmt: skip
def test_lengths_of_time_are_read_as_people_write_them(text, meant):
    assert amounts.seconds(text) == meant


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0s", "0.1s", "1 month", "1d1h", "٣d"])
def test_what_is_no_length_of_time_is_told(text):
    with pytest.raises(UsageError, match="30d"):
        amounts.seconds(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1", 1), ("500MB", 500_000_000), ("10 gb", 10**10), ("1.5TiB", 3 * 2**39), ("7b", 7)],
)
def test_sizes_are_read_as_people_write_them(text, meant):
    assert amounts.size(text) == meant


@pytest.mark.parametrize("text", ["", "GB", "0", "-1GB", "10 apples", "1e9", "1" * 16])
def test_what_is_no_size_is_told(text):
    with pytest.raises(UsageError, match="10GB"):
        amounts.size(text)
