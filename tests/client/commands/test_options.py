from datetime import UTC, datetime

import pytest

from datctl.commands.options import Place, chosen_networks, parse_place, parse_version
from datctl.errors import UsageError

KEY = "ab" * 32


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (KEY, Place(KEY, "/", None)),
        (KEY.upper() + "/a/b", Place(KEY, "/a/b", None)),
        (f"dat://{KEY}", Place(KEY, "/", None)),
        (f"dat://{KEY}/a b/ü", Place(KEY, "/a b/ü", None)),
        (f"dat://{KEY}+12/a", Place(KEY, "/a", 12)),
        (f"{KEY}+12", Place(KEY, "/", 12)),
        (f"https://host.example/{KEY}/a", Place(KEY, "/a", None)),
        ("abcdef/a", Place("abcdef", "/a", None)),
        ("recipes", Place("recipes", "/", None)),
        ("recipes/", Place("recipes", "/", None)),
        (f"recipes/blobs/{KEY}", Place("recipes", f"/blobs/{KEY}", None)),
        ("recipes/a\nb", Place("recipes", "/a\nb", None)),
    ],
)
def test_a_place_in_an_archive_is_read_from_any_form_of_link(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", "/", "/a", "dat://"])
def test_a_place_needs_an_archive(text):
    with pytest.raises(UsageError):
        parse_place(text)


def test_two_versions_are_one_too_many():
    assert parse_place(f"{KEY}/a", "3").version == 3
    with pytest.raises(UsageError):
        parse_place(f"{KEY}+12/a", "3")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (None, None),
        ("latest", None),
        ("12", 12),
        ("v1.0_a-b", "v1.0_a-b"),
        ("2019-03-01", datetime(2019, 3, 1)),
        ("2019-03-01T12:30", datetime(2019, 3, 1, 12, 30)),
        ("2019-03-01T12:30:05Z", datetime(2019, 3, 1, 12, 30, 5, tzinfo=UTC)),
    ],
)
def test_a_version_is_a_number_a_name_or_a_time(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "-1", "1x", "v 1", "2019-02-30", "9" * 16, "a" * 65, "²"])
def test_what_is_no_version_is_wrong_usage(text):
    with pytest.raises(UsageError, match="is no version"):
        parse_version(text)


def test_a_link_may_name_a_version_by_its_name():
    assert parse_place(f"dat://{KEY}+v1/a") == Place(KEY, "/a", "v1")
    with pytest.raises(UsageError):
        parse_place(f"dat://{KEY}+1x/a")


@pytest.mark.parametrize(
    ("words", "chosen"),
    [((), None), (("all",), None), (("none",), []), (("dns", "mdns"), ["dns", "mdns"])],
)
def test_networks_are_chosen_by_words(words, chosen):
    assert chosen_networks(words) == chosen


@pytest.mark.parametrize("words", [("none", "dns"), ("dns", "all"), ("all", "none")])
def test_all_and_none_stand_alone(words):
    with pytest.raises(UsageError):
        chosen_networks(words)
