from datd.hosting.changes import Changes
from datd.keys import Key
from datd.records import Record


def test_changes_can_be_undone_and_touch_nothing_else():
    record = Record(Key(bytes(32)), added_at=1.0, name="n", networks=["dns"], domain="a.example")
    before = Changes({"networks": None}).exchange(record)
    assert (record.networks, record.domain, record.name) == (None, "a.example", "n")
    before.exchange(record)
    assert record.networks == ["dns"]
