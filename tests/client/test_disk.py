import contextlib
import fcntl
import os
import sys
import time

import pytest
from tests.helpers.people import as_ordinary_user

from datctl.disk import DestinationFolder, Skipped
from datctl.disk_names import OWN_PREFIX
from datctl.errors import WriteError


def interrupted():
    """Data whose connection breaks in the middle."""
    yield b"half"
    raise RuntimeError


def put(folder, *parts, data=b"new", executable=False, mtime=1_000_000_000.0):
    with folder.new_file(parts, executable=executable, mtime=mtime) as file:
        for chunk in [data] if isinstance(data, bytes) else data:
            file.write(chunk)


def test_a_file_appears_with_its_mode_and_time(tmp_path):
    with DestinationFolder(tmp_path / "made" / "here") as folder:
        put(folder, "a", "b", "run.sh", executable=True)
        put(folder, "plain")
    made = tmp_path / "made/here/a/b/run.sh"
    assert made.read_bytes() == b"new"
    assert made.stat().st_mode & 0o777 == 0o755
    assert made.stat().st_mtime == 1_000_000_000
    assert (tmp_path / "made/here/plain").stat().st_mode & 0o777 == 0o644


def test_an_older_file_is_replaced_only_by_a_complete_one(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with DestinationFolder(tmp_path) as folder:
        with contextlib.suppress(RuntimeError):
            put(folder, "a", data=interrupted())
        assert os.listdir(tmp_path) == ["a"]
        assert (tmp_path / "a").read_bytes() == b"old"
        put(folder, "a")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_links_are_never_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"mine")
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "folder").symlink_to(outside)
    (dest / "file").symlink_to(outside / "victim")
    (dest / "dangling").symlink_to(outside / "made")
    with DestinationFolder(dest) as folder:
        for parts in (("folder", "victim"), ("file",), ("dangling",)):
            with pytest.raises(Skipped):
                put(folder, *parts)
        with pytest.raises(Skipped):
            folder.make_folder(("folder", "deeper"))
    assert (outside / "victim").read_bytes() == b"mine"
    assert os.listdir(outside) == ["victim"]


def test_a_folder_or_fifo_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    with DestinationFolder(tmp_path) as folder:
        for parts in (("folder",), ("fifo",), ("file", "below")):
            with pytest.raises(Skipped):
                put(folder, *parts)


def test_a_second_name_for_the_same_file_is_skipped(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        put(folder, "a", data=b"first")
        # What a file system without upper and lower case makes of the names a and A.
        os.link(tmp_path / "a", tmp_path / "A")
        with pytest.raises(Skipped, match="another name"):
            put(folder, "A", data=b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_what_an_earlier_run_wrote_is_recognised(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        put(folder, "a")
    with DestinationFolder(tmp_path) as folder:
        assert not folder.holds(("a",), 4, 1_000_000_000.0)
        assert not folder.holds(("a",), 3, 1_000_000_001.0)
        assert not folder.holds(("a",), 3, None)
        assert not folder.holds(("b",), 3, 1_000_000_000.0)
        assert folder.holds(("a",), 3, 1_000_000_000.0)


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        tmp_path.chmod(0o555)
        with as_ordinary_user(tmp_path), pytest.raises(WriteError, match="cannot be"):
            put(folder, "a")


def test_a_file_cannot_be_the_destination_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="cannot be used as a folder"):
        DestinationFolder(tmp_path / "file")


@pytest.mark.parametrize("mtime", [-5.0, 1e18, None])
def test_a_time_that_no_file_can_have_is_left_out(tmp_path, mtime):
    with DestinationFolder(tmp_path) as folder:
        put(folder, "a", mtime=mtime)
    assert (tmp_path / "a").stat().st_mtime > 1_600_000_000


def test_two_versions_of_one_second_are_two(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        put(folder, "a", mtime=1_500_000_000.123)
        assert not DestinationFolder(tmp_path).holds(("a",), 3, 1_500_000_000.124)
    with DestinationFolder(tmp_path) as again:
        assert again.holds(("a",), 3, 1_500_000_000.123)


def begin(folder, data, token="ab", stop=False, name="a"):
    with folder.new_file((name,), executable=False, mtime=None, token=token) as file:
        at = file.tell()
        file.write(data[at:])
        if stop:
            raise RuntimeError
        return at


def test_what_an_interrupted_run_has_written_is_there_for_the_next(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        with pytest.raises(RuntimeError):
            begin(folder, b"half", stop=True)
        assert os.listdir(tmp_path) == [".datctl-ab"]
        assert begin(folder, b"half and half") == 4
        assert (tmp_path / "a").read_bytes() == b"half and half"
        assert os.listdir(tmp_path) == ["a"]


def test_what_another_run_is_writing_is_left_to_it(tmp_path):
    with DestinationFolder(tmp_path) as first, DestinationFolder(tmp_path) as second:
        with first.new_file(("a",), executable=False, mtime=None, token="ab") as file:
            file.write(b"of the first")
            file.flush()
            assert begin(second, b"of the second") == 0
        assert (tmp_path / "a").read_bytes() == b"of the first"
        assert os.listdir(tmp_path) == ["a"]


class Renaming:
    """Does something each time when a file is about to get its name."""

    def __init__(self):
        self.work = None
        sys.addaudithook(self.hear)

    def hear(self, event, arguments):
        if event == "os.rename" and self.work is not None:
            work, self.work = self.work, None
            work()


@pytest.mark.parametrize("token", [None, "ab"])
def test_a_file_that_is_about_to_appear_is_not_taken_from_its_run(tmp_path, token):
    renaming, done = Renaming(), []

    def others():
        # One begins the same file, and one ends that has written beside it.
        with DestinationFolder(tmp_path) as second:
            assert begin(second, b"whole", name="same" if token is None else "a") == 0
        done.append(1)

    with DestinationFolder(tmp_path) as folder:
        renaming.work = others
        with folder.new_file(("a",), executable=False, mtime=1_000_000_000, token=token) as file:
            file.write(b"whole")
    assert done
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert set(os.listdir(tmp_path)) <= {"a", "same"}


def test_a_link_under_the_name_of_a_begun_file_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    place = tmp_path / "in"
    place.mkdir()
    (place / ".datctl-ab").symlink_to(outside)
    with DestinationFolder(place) as folder:
        assert begin(folder, b"new") == 0
    assert outside.read_text() == "precious"
    assert (place / "a").read_bytes() == b"new"


def test_only_the_very_file_is_removed(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        for name in ("kept", "longer", "younger"):
            put(folder, "deep", name)
        (tmp_path / "deep/longer").write_text("longer")
        os.utime(tmp_path / "deep/younger", (1, 1))
        removed = [
            folder.remove_file(("deep", name), 3, 1_000_000_000.0)
            for name in ("kept", "longer", "younger", "absent")
        ]
        assert removed == [True, False, False, True]
        assert not folder.remove_file(("deep", "younger"), 3, None)
        assert folder.remove_file(("no", "such", "folder"), 3, 1.0)
    assert sorted(os.listdir(tmp_path / "deep")) == ["longer", "younger"]


def test_nothing_is_removed_through_a_link(tmp_path):
    outside, place = tmp_path / "outside", tmp_path / "in"
    place.mkdir()
    outside.mkdir()
    with DestinationFolder(outside) as folder:
        put(folder, "a")
    (place / "link").symlink_to(outside)
    with DestinationFolder(place) as folder:
        assert folder.remove_file(("link", "a"), 3, 1_000_000_000.0)
        folder.remove_folder(("link", "a"))
        folder.discard(("link", "a"))
        assert not folder.is_empty(("link",))
    assert os.listdir(outside) == ["a"]


def test_folders_are_removed_only_when_they_are_empty(tmp_path):
    (tmp_path / "full/inner").mkdir(parents=True)
    with DestinationFolder(tmp_path) as folder:
        assert not folder.is_empty(("full",))
        folder.remove_folder(("full",))
        assert folder.is_empty(("full", "inner"))
        folder.remove_folder(("full", "inner"))
        folder.remove_folder(("full",))
        folder.remove_folder(("full",))
    assert os.listdir(tmp_path) == []


def test_what_is_not_wanted_is_found_and_discarded(tmp_path):
    for path in ("wanted/file", "wanted/other", "old/deep/file", ".dat/key", ".DATD/x", "a/.dat/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / "wanted/link").symlink_to("file")
    wanted = {
        ("wanted",): True,
        ("wanted", "file"): False,
        ("wanted", "link"): False,
        ("old",): False,
    }
    with DestinationFolder(tmp_path) as folder:
        others = folder.others(lambda parts, is_folder: wanted.get(parts) is is_folder)
        for parts in others:
            folder.discard(parts)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == [".DATD", ".DATD/x", ".dat", ".dat/key", "wanted", "wanted/file"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda name: os.link(name.parent / "victim", name)])
def test_what_others_put_under_the_name_of_a_begun_file_is_left_alone(tmp_path, make):
    (tmp_path / "victim").write_text("mine")
    make(tmp_path / ".datctl-ab")
    with DestinationFolder(tmp_path) as folder:
        assert begin(folder, b"new") == 0
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_file_is_some_version_by_its_size_and_time(tmp_path):
    with DestinationFolder(tmp_path) as folder:
        put(folder, "a", mtime=1_500_000_000.9)
        put(folder, "timeless", mtime=None)
        assert folder.is_one_of(("a",), [(9, 1.0), (3, 1_500_000_000.9)])
        assert not folder.is_one_of(("a",), [(3, 1_500_000_003.0), (4, 1_500_000_000.9)])
        assert not folder.is_one_of(("a",), [])
        assert folder.is_one_of(("timeless",), [(3, None)])
        assert folder.is_one_of(("absent",), [])
        assert folder.is_one_of(("no", "such"), [])
        os.utime(tmp_path / "a", (1_500_000_000, 1_500_000_000))  # as FAT keeps it
        assert folder.is_one_of(("a",), [(3, 1_500_000_000.9)])


def test_beginnings_that_nobody_goes_on_with_are_removed_after_a_week(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    long_ago = time.time() - 8 * 86_400
    names = {
        "old": f"{OWN_PREFIX}{'a' * 32}",
        "cut": f"{OWN_PREFIX}{'b' * 16}",
        "held": f"{OWN_PREFIX}{'c' * 32}",
        "twice": f"{OWN_PREFIX}{'d' * 32}",
        "note": f"{OWN_PREFIX}follow.json",
        "theirs": "old",
    }
    for name in names.values():
        (inside / name).write_bytes(b"x")
        os.utime(inside / name, (long_ago, long_ago))
    os.link(inside / names["twice"], tmp_path / "second name")
    new = f"{OWN_PREFIX}{'e' * 32}"
    (inside / new).write_bytes(b"x")
    with (inside / names["held"]).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with contextlib.suppress(RuntimeError), DestinationFolder(tmp_path) as folder:
            put(folder, "inside", "a")
            raise RuntimeError
        assert len(os.listdir(inside)) == 8, "a run that fails touches nothing"
        with DestinationFolder(tmp_path) as folder:
            put(folder, "b")
        assert len(os.listdir(inside)) == 8, "nothing was written there"
        with DestinationFolder(tmp_path) as folder:
            put(folder, "inside", "a")
    left = {names[one] for one in ("held", "twice", "note", "theirs")} | {new, "a"}
    assert set(os.listdir(inside)) == left
