import pytest
from tests.helpers.feeds import index_names, index_vector, sparse_copy
from tests.helpers.own_archives import new_archive, put, replay, written

from datd.archive import index_writer
from datd.archive.append_tree import AppendTree
from datd.archive.entries import Entry, encode_node
from datd.archive.index_writer import IndexWriter
from datd.archive.writer import ArchiveWriter
from datd.errors import BlockMissing

# Where the reference loses a live file, and from which entry on (archives.md section 6).
REFERENCE_LOSES = {"lost-subtree": 5, "random-fs-3": 36}


def entries_of(name, commit_every):
    archive = new_archive()
    writer = ArchiveWriter(archive)

    def now_and_then(done):
        if done % commit_every == 0:
            writer.commit()

    replay(writer, index_vector(name)["ops"], now_and_then)
    writer.commit()
    return [archive.metadata.get(seq) for seq in range(1, archive.metadata.length)]


@pytest.mark.parametrize("commit_every", [1, 3, 10_000])
@pytest.mark.parametrize("name", index_names())
def test_the_same_operations_give_the_entries_of_the_reference_to_the_byte(name, commit_every):
    wanted = [bytes.fromhex(entry["hex"]) for entry in index_vector(name)["entries"][1:]]
    got = entries_of(name, commit_every)
    assert len(got) == len(wanted)
    differ = [seq for seq, pair in enumerate(zip(got, wanted, strict=True), 1) if len({*pair}) > 1]
    assert min(differ, default=None) == REFERENCE_LOSES.get(name)


@pytest.mark.parametrize("held", [0, 3])
def test_folders_that_are_not_held_are_read_again(monkeypatch, held):
    monkeypatch.setattr(index_writer, "NAMES_HELD", held)
    for name in ("random-any-1", "random-fs-1", "two-folders-interleaved", "mkdir"):
        test_the_same_operations_give_the_entries_of_the_reference_to_the_byte(name, 7)


def test_only_so_many_names_are_held_and_the_way_to_the_last_path(monkeypatch):
    index = IndexWriter(AppendTree(new_archive().metadata), 0)
    for number in range(40):
        index.put((f"{number}", "x"))
    assert index._names_held == sum(len(f.children) + 1 for f in index._held.values()) == 121
    monkeypatch.setattr(index_writer, "NAMES_HELD", 50)
    index.put(("another", "x"))
    assert index._names_held <= 50 + 2
    assert index._names_held == sum(len(f.children) + 1 for f in index._held.values())
    monkeypatch.setattr(index_writer, "NAMES_HELD", 5)
    index.put(("one more", "x"))
    assert list(index._held) == [(), ("one more",)]


def test_a_folder_whose_newest_change_is_a_deletion_keeps_its_files():
    _, writer = written("/b/b/c", "/b/b/a")
    writer.remove("/b/b/c")
    put(writer, "/b/c", b"1")
    writer.remove("/b/c")
    assert [path for path, _ in writer.archive.walk()] == ["/b/b/a"]
    assert [name for name, _ in writer.archive.list("/")] == ["b"]


def test_a_folder_that_the_reference_filled_goes_on():
    vector = index_vector("folder-300")
    archive = new_archive()
    archive.metadata.append([bytes.fromhex(entry["hex"]) for entry in vector["entries"][1:-3]])
    index = IndexWriter(AppendTree(archive.metadata), archive.version)
    for wanted in vector["entries"][-3:]:
        names = tuple(wanted["name"].strip("/").split("/"))
        paths = index.put(names) if wanted["kind"] == "put" else index.remove(names)
        assert paths.hex() == wanted["paths_hex"]
        stat = Entry.decode(1, bytes.fromhex(wanted["hex"])).stat
        archive.metadata.append([encode_node(wanted["name"], stat, paths)])


def test_an_index_that_is_not_here_is_named_and_nothing_has_changed():
    archive, _ = written("/a/1", "/a/2", "/b/1")
    copy = sparse_copy(archive.metadata, [3])
    index = IndexWriter(AppendTree(copy), 3)
    with pytest.raises(BlockMissing) as missing:
        index.put(("a", "3"))
    assert missing.value.index == 2
    copy.put(2, archive.metadata.get(2), archive.metadata.proof(2))
    with pytest.raises(BlockMissing):
        index.remove(("a", "2"))
    copy.put(1, archive.metadata.get(1), archive.metadata.proof(1))
    assert index.head == 3
    whole = IndexWriter(AppendTree(archive.metadata), 3)
    assert index.remove(("a", "2")) == whole.remove(("a", "2"))
