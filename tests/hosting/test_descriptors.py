import os

import pytest

from datd.hosting.descriptors import Descriptors


def test_l21_no_more_files_stay_open_than_the_limit(tmp_path):
    pool = Descriptors(limit=4)
    for number in range(20):
        with pool.lease(tmp_path / str(number), create=True) as descriptor:
            os.pwrite(descriptor, b"x", 0)
    assert pool.open_files == 4
    pool.close()
    assert pool.open_files == 0


def test_a_lent_descriptor_is_not_closed_under_its_user(tmp_path):
    pool = Descriptors(limit=1)
    with pool.lease(tmp_path / "a", create=True) as first:
        with pool.lease(tmp_path / "b", create=True) as second:
            os.pwrite(second, b"b", 0)
        os.pwrite(first, b"a", 0)
        pool.forget(tmp_path / "a")
        os.pwrite(first, b"A", 0)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(first)
    assert (tmp_path / "a").read_bytes() == b"A"
    pool.close()


def test_reading_makes_no_file(tmp_path):
    pool = Descriptors()
    with pytest.raises(FileNotFoundError), pool.lease(tmp_path / "absent", create=False):
        pass
    assert not (tmp_path / "absent").exists()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    pool = Descriptors()
    with (
        pytest.raises(OSError, match="symbolic links"),
        pool.lease(tmp_path / "link", create=False),
    ):
        pass


def test_a_file_may_be_written_after_it_was_read(tmp_path):
    (tmp_path / "f").write_bytes(b"one")
    pool = Descriptors()
    with pool.lease(tmp_path / "f", create=False) as descriptor:
        assert os.pread(descriptor, 3, 0) == b"one"
    with pool.lease(tmp_path / "f", create=True) as descriptor:
        os.pwrite(descriptor, b"two", 0)
    assert (tmp_path / "f").read_bytes() == b"two"
    pool.close()
