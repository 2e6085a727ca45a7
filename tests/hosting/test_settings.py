import pytest

from datd.errors import ArchiveExists
from datd.hosting.settings import Settings, require_same
from datd.keys import Key
from datd.records import Record

RECORD = Record(
    Key(bytes(32)), added_at=1.0, name="a", tags=["x", "y"], mode="sparse", include=["/a/**"],
    pinned=7, networks=["dns"], domain="x.example",
)  # fmt: skip
SAME = Settings(
    name="a", tags=["y", "x"], mode="sparse", include=["/a/**"], networks=["dns"],
    domain="x.example", paused=False,
)  # fmt: skip


def test_what_asks_for_nothing_or_for_the_same_is_fine():
    require_same(RECORD, None, {})
    require_same(RECORD, 7, SAME)


@pytest.mark.parametrize(
    "other",
    [{"name": "b"}, {"tags": ["x"]}, {"mode": "latest"}, {"include": []}, {"networks": []},
     {"domain": "y.example"}, {"paused": True}],
)  # fmt: skip
def test_what_asks_for_something_else_is_refused(other):
    with pytest.raises(ArchiveExists):
        require_same(RECORD, None, other)


def test_another_version_is_something_else():
    with pytest.raises(ArchiveExists):
        require_same(RECORD, 8, {})
