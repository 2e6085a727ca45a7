import pytest

from datd.catalogue import Record
from datd.errors import VersionNotFound
from datd.http.problems import Problem
from datd.http.version_names import version_of
from datd.keys import Key

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
