import errno
import fcntl
import gc
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.helpers.people import as_ordinary_user

from datd.errors import StorageError
from datd.hosting.descriptors import Descriptors
from datd.shortage import Shortage
from datd.storage.disk import DiskFile
from datd.storage.faults import is_short


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """For this process: so many files more can be opened."""
    gc.collect()  # what earlier tests left is closed now, and not while files are counted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + number, hard))
        while True:  # numbers below the highest one that are free
            try:
                held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for _ in range(number):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in held:
            os.close(one)


PATIENCE = 20.0  # less than the 45 s that the system gives to leases


def is_open(path: Path) -> bool:
    """Whether this process has a file open, whatever else it opens and closes meanwhile."""
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{descriptor}") == str(path):
                return True
    return False


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
        assert is_open(tmp_path / "a")
        os.pwrite(first, b"A", 0)
    assert not is_open(tmp_path / "a")
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


def test_c17_when_there_are_none_left_idle_files_are_closed_for_the_one_that_is_wanted(tmp_path):
    pool = Descriptors(limit=8)
    for number in range(9):
        (tmp_path / str(number)).write_bytes(b"x")
    with descriptors_left(4):
        for _ in range(3):
            for number in range(9):
                with pool.lease(tmp_path / str(number), create=False) as descriptor:
                    assert os.pread(descriptor, 1, 0) == b"x"
        assert pool.open_files <= 4
    for _ in range(4):
        for number in range(9):
            with pool.lease(tmp_path / str(number), create=False):
                pass
    assert (pool.open_files, pool.limit) == (8, 8), "it grows again by itself"
    pool.close()


def test_c17_d7_a_file_that_cannot_be_opened_for_want_of_descriptors_is_not_absent(tmp_path):
    pool = Descriptors()
    (tmp_path / "there").write_bytes(b"bytes")
    there, absent = (DiskFile(tmp_path / name, pool) for name in ("there", "absent"))
    with descriptors_left(0):
        for call in (lambda: there.read(0, 5), there.size, there.sync, lambda: absent.size()):
            with pytest.raises(StorageError, match="Too many open files") as caught:
                call()
            assert is_short(caught.value)
    assert there.read(0, 5) == b"bytes"
    assert absent.size() == 0
    pool.close()


def test_c17_others_who_get_none_have_half_of_the_pool_closed(tmp_path):
    shortage = Shortage(time.monotonic)
    pool = Descriptors(8, shortage)
    for number in range(8):
        with pool.lease(tmp_path / str(number), create=True):
            pass
    shortage.met(OSError(errno.EMFILE, "Too many open files"), "connections wait")
    assert pool.open_files == 4
    with pool.lease(tmp_path / "0", create=True) as in_use:
        for _ in range(5):
            shortage.met(OSError(errno.EMFILE, "Too many open files"), "connections wait")
        assert pool.open_files == 1
        os.pwrite(in_use, b"x", 0)
    pool.close()


@contextmanager
def silent_disk(path: Path) -> Iterator[Callable[[], bool]]:
    """Whoever opens a file for writing waits until this ends; gives whether somebody does.

    It is a lease, as a file server takes one for its client. To others it is as if the disk did not
    answer.
    """
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the system says by it what is asked here
    descriptor = os.open(path, os.O_RDONLY)
    inode = os.fstat(descriptor).st_ino

    def is_asked() -> bool:
        lines = Path("/proc/locks").read_text().splitlines()
        return any("BREAKING" in line and f":{inode} " in line for line in lines)

    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            pytest.skip("no leases on this file system")
        yield is_asked
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def comes(is_so: Callable[[], bool]) -> bool:
    """Whether something is so in the end."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_a_disk_that_does_not_answer_keeps_nobody_from_the_files_of_another(tmp_path):
    for name in ("silent", "there"):
        (tmp_path / name).write_bytes(b"x")
    pool = Descriptors()
    opened = {name: threading.Event() for name in ("silent", "there")}

    def use(name: str) -> None:
        with pool.lease(tmp_path / name, create=True):
            opened[name].set()

    threads = [threading.Thread(target=use, args=(name,)) for name in opened]
    with silent_disk(tmp_path / "silent") as asked:
        threads[0].start()
        assert comes(asked)
        threads[1].start()
        assert opened["there"].wait(PATIENCE)
        pool.shrink()  # nor does the event loop wait, which asks for this
        assert not opened["silent"].is_set()
    for thread in threads:
        thread.join()
    assert opened["silent"].is_set()
    pool.close()


def test_a_file_that_is_forgotten_while_it_is_opened_does_not_stay_open(tmp_path):
    (tmp_path / "silent").write_bytes(b"x")
    pool = Descriptors()
    read = list[bytes]()

    def use() -> None:
        with pool.lease(tmp_path / "silent", create=True) as descriptor:
            read.append(os.pread(descriptor, 1, 0))

    thread = threading.Thread(target=use)
    with silent_disk(tmp_path / "silent") as asked:
        thread.start()
        assert comes(asked)
        pool.forget(tmp_path / "silent")
    thread.join()
    assert read == [b"x"]
    assert pool.open_files == 0
    assert not is_open(tmp_path / "silent")


def test_a_pipe_that_may_only_be_read_holds_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o444)
    pool = Descriptors()
    ended = list[OSError]()

    def read() -> None:
        try:
            with pool.lease(tmp_path / "pipe", create=False) as descriptor:
                os.pread(descriptor, 1, 0)
        except OSError as error:
            ended.append(error)

    with as_ordinary_user(tmp_path / "pipe"):
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(PATIENCE)
    assert [error.errno for error in ended] == [errno.ESPIPE]
    pool.close()


def refuses_to_close(pool: Descriptors, folder: Path, name: str) -> None:
    """Hold a file that will be refused when it is closed, as NFS does where a disk is full.

    Here it is closed already. The others are newer, and no file may be opened before.
    """
    for one in "abc":
        with pool.lease(folder / one, create=True):
            pass
    with pool.lease(folder / name, create=True) as descriptor:
        pass
    for one in set("abc") - {name}:
        with pool.lease(folder / one, create=True):
            pass
    os.close(descriptor)


def test_d4_what_is_refused_at_the_end_is_told_to_who_uses_that_file_next_and_to_nobody_else(
    tmp_path,
):
    pool = Descriptors()
    refuses_to_close(pool, tmp_path, "a")
    pool.shrink()
    assert pool.open_files == 1
    file = DiskFile(tmp_path / "a", pool)
    with pytest.raises(StorageError, match="Bad file descriptor"):
        file.sync()
    file.sync()
    for one in "bc":
        DiskFile(tmp_path / one, pool).sync()
    pool.close()


def test_a_file_that_nobody_needs_any_more_may_refuse_to_be_closed(tmp_path):
    pool = Descriptors()
    refuses_to_close(pool, tmp_path, "a")
    DiskFile(tmp_path / "a", pool).close()
    assert DiskFile(tmp_path / "a", pool).size() == 0
    refuses_to_close(pool, tmp_path, "b")
    pool.close()
    assert not any(is_open(tmp_path / one) for one in "abc")
