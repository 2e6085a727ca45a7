import contextlib
import os

import pytest
from tests.helpers.people import as_ordinary_user

from datctl.disk import DestinationFolder, Skipped
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
