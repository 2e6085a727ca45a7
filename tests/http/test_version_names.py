import pytest

from datd.errors import VersionNotFound
from datd.http.problems import Problem
from datd.http.version_names import split_link, version_of
from datd.keys import Key
from datd.records import Record

RECORD = Record(Key(bytes(32)), added_at=1.0, version_tags={"v1": 5, "Latest-but-one": 7})


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        (None, None),
        (3, 3),
        ("0", 0),
        ("12", 12),
        ("v1", 5),
        ("Latest-but-one", 7),
        ("latest", None),
    ],
)
def test_a_version_is_named_by_number_or_tag(asked, number):
    assert version_of(RECORD, asked) == number


def test_a_tag_that_nobody_gave_is_not_found():
    with pytest.raises(VersionNotFound, match="v2"):
        version_of(RECORD, "v2")


@pytest.mark.parametrize(
    "asked", ["-1", "1.5", "1e3", "5x", "٣", "9007199254740992", "9" * 60, "a b"]
)
def test_t43_what_is_no_version_is_a_bad_request(asked):
    with pytest.raises(Problem) as problem:
        version_of(RECORD, asked)
    assert problem.value.kind == "bad_request"


KEY = "ab" * 32


@pytest.mark.parametrize(
    ("link", "bare", "version"),
    [
        (f"dat://{KEY}+12/a+b", f"dat://{KEY}/a+b", "12"),
        (f"{KEY}+v1", KEY, "v1"),
        (f"https://dat.example/x/{KEY}+v1/y?z", f"https://dat.example/x/{KEY}/y?z", "v1"),
        ("dat://example.org+latest", "dat://example.org", "latest"),
        ("name+5", "name", "5"),
        (f"dat://{KEY}/a+b", f"dat://{KEY}/a+b", None),
        ("https://example.org/a+b", "https://example.org/a+b", None),
        ("c++", "c++", None),
        ("", "", None),
    ],
)
def test_the_version_in_a_link(link, bare, version):
    assert split_link(link) == (bare, version)
