"""What clients ask for as settings; over HTTP it is tested in test_archives and elsewhere."""

import pytest

from datctl.models import ArchiveChanges, NewArchive
from datctl.models_writing import Described, NewEmpty, NewFolder
from datd.http.problems import Problem
from datd.http.settings import SettingsReader
from datd.keys import Key
from datd.records import ImportRules

LINK = "dat://" + "ab" * 32


@pytest.fixture
def reader(api):
    return SettingsReader(api.library)


async def changes(api, reader, **fields):
    archive, _ = await api.library.add(Key(bytes(32)))
    return reader.changes(archive, ArchiveChanges(**fields), 5).fields


async def test_each_kind_of_new_archive_has_its_settings(reader):
    hosted = reader.settings(NewArchive(link=LINK, mode="sparse", include=["/a/**"], name="x"))
    assert (hosted["mode"], hosted["include"], hosted["name"]) == ("sparse", ["/a/**"], "x")
    assert reader.settings(NewFolder(folder="/a", mode="latest"))["mode"] == "latest"
    empty = reader.settings(NewEmpty(new=Described(), domain="DAT.Example.org", networks=["dns"]))
    assert (empty["domain"], empty["networks"]) == ("dat.example.org", ["dns"])
    assert "mode" not in empty


async def test_only_what_is_named_is_changed(api, reader):
    assert await changes(api, reader) == {}
    assert await changes(api, reader, version=None, name=None, tags=None) == {
        "pinned": None, "name": None, "tags": []
    }  # fmt: skip
    assert await changes(api, reader, mode="sparse", include=["*.csv"], prune=True) == {
        "mode": "sparse", "include": ["*.csv"]
    }  # fmt: skip


async def test_only_a_sparse_archive_is_pruned_by_itself(api, reader):
    archive, _ = await api.library.add(Key(bytes(32)), mode="sparse", include=["/a/**"])
    asked = ArchiveChanges(prune=True)
    assert reader.changes(archive, asked, 5).fields == {"include": ["/a/**"]}
    archive.record.mode = "archive"
    with pytest.raises(Problem, match="sparse"):
        reader.changes(archive, asked, 5)


async def test_rules_of_imports_are_changed_one_by_one(api, reader, tmp_path):
    ours = await api.library.create(source=tmp_path)
    for fields, rules in (
        ({"delete": False}, ImportRules(delete=False)),
        ({"follow_links": "none", "ignore_hidden": False}, ImportRules("none", False)),
    ):
        assert reader.changes(ours, ArchiveChanges(**fields), 0).fields == {"import_rules": rules}
    with pytest.raises(Problem, match="not null"):
        reader.changes(ours, ArchiveChanges(delete=None), 0)
    with pytest.raises(Problem, match="folder"):
        await changes(api, reader, delete=False)


async def test_version_tags_are_merged(api, reader):
    archive, _ = await api.library.add(Key(bytes(32)))
    archive.record.version_tags = {"a": 1, "b": 2}
    asked = ArchiveChanges(version_tags={"b": None, "c": 5, "none": None})
    assert reader.changes(archive, asked, 5).fields == {"version_tags": {"a": 1, "c": 5}}
    assert archive.record.version_tags == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "fields",
    [{"include": ["/x"]}, {"mode": "latest", "include": ["/x"]},
     {"mode": "sparse", "include": [""]}, {"version_tags": {"v9": 6}},
     {"version_tags": {"LATEST": 1}}],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_with_a_reason(api, reader, fields):
    asked = ArchiveChanges.model_construct(**fields, _fields_set=set(fields))
    archive, _ = await api.library.add(Key(bytes(32)))
    with pytest.raises(Problem) as problem:
        reader.changes(archive, asked, 5)
    assert problem.value.fields
