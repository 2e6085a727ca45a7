from dataclasses import fields, replace
from typing import Any

from datd.http.tags import etag_of
from datd.keys import Key
from datd.records import ImportRules, Record

RECORD = Record(Key(b"\x07" * 32), added_at=1.0)
# What cannot be set by whoever changes an archive, but happens to it.
HAPPENS = {
    "key", "added_at", "updated_at", "last_peer_at", "dirty", "downloaded", "uploaded", "summary",
    "conflict", "shortname", "synced", "importing", "forking", "location", "layout", "peers",
    "good_peers",
}  # fmt: skip


def parts(record, body=b"x"):
    return etag_of(record, body).strip('"').split("-")


def test_each_setting_counts():
    """A setting that is new to records stands in the tag, or in the list above."""
    other: dict[str, Any] = {
        "name": "n", "tags": ["t"], "mode": "latest", "paused": True, "pinned": 3,
        "networks": ["dht"], "domain": "d.example", "include": ["a/**"], "writable": True,
        "chunking": "content", "source": "/site", "watch": True,
        "import_rules": ImportRules("none"), "version_tags": {"v": 1},
        "web_sources": ["https://a.example/"],
    }  # fmt: skip
    assert {field.name for field in fields(Record)} == HAPPENS | other.keys()
    for name, value in other.items():
        settings, whole = parts(replace(RECORD, **{name: value}))
        assert settings != parts(RECORD)[0], name
        assert whole == parts(RECORD)[1]


def test_what_only_happens_leaves_the_first_part_as_it_is():
    happened = replace(RECORD, downloaded=7, updated_at=2.0, dirty=True)
    assert parts(happened, b"other")[0] == parts(RECORD)[0]
    assert parts(happened, b"other")[1] != parts(RECORD)[1]
