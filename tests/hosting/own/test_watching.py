import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.helpers.libraries import until

from datd.hosting.own.watching import FolderWatch
from datd.importing.noticed import MOST_NOTICED

# Five times what is seen on a busy machine.
PATIENCE = 60.0
FOLDERS = 50
# A machine that stalls makes single changes late, and never all of these.
TRIES = 20


class Ear:
    """Hears which folders changed."""

    def __init__(self) -> None:
        self.heard: list[tuple[Path, float]] = []
        self.noticed: list[set[str]] = []
        self._news = asyncio.Event()

    def __call__(self, folder: Path, paths: Collection[str]) -> None:
        self.noticed.append(set(paths))
        self.heard.append((folder, time.monotonic()))
        self._news.set()

    async def wait_for(self, folder: Path, *, after: int = 0) -> float:
        """When a folder was told of, leaving out the first things heard."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for told, when in self.heard[after:]:
                    if told == folder:
                        return when
                self._news.clear()
                await self._news.wait()

    async def silence(self) -> None:
        """Until nothing was heard for longer than a change takes to be told."""
        heard = -1
        while heard != len(self.heard):
            heard = len(self.heard)
            await asyncio.sleep(1.5)


@asynccontextmanager
async def watching(
    ear: Ear, *folders: Path, told: Callable[[Path, Collection[str]], None] | None = None
) -> AsyncIterator[FolderWatch]:
    """A watch of these folders, once it stands; `told` is told in the place of the ear."""
    watch = FolderWatch(told or ear)
    for folder in folders:
        watch.add(folder)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        for folder in folders:
            await ear.wait_for(folder)
        yield watch
        task.cancel()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    (made / "sub").mkdir(parents=True)
    return made


async def test_a_change_is_told_within_a_second(folder: Path):
    ear = Ear()
    async with watching(ear, folder):
        for number in range(TRIES):
            heard, began = len(ear.heard), time.monotonic()
            (folder / "sub" / f"{number}").write_text("a")
            if await ear.wait_for(folder, after=heard) - began < 1:
                break
        else:
            pytest.fail("each change is told later than that")


async def test_a_change_is_told_once(folder: Path):
    ear = Ear()
    async with watching(ear, folder):
        names: set[str] = set()
        for number in range(TRIES):
            heard = len(ear.heard)
            names.add(f"sub/{number}")
            # Two changes for the system, a moment apart: a file that comes, and what is in it.
            (folder / "sub" / f"{number}").write_text("a")
            await ear.wait_for(folder, after=heard)
            await ear.silence()
            # Of an earlier one the second may be late.
            assert {f"sub/{number}"} <= set().union(*ear.noticed[heard:]) <= names
            if len(ear.heard) == heard + 1:
                break
        else:
            pytest.fail("each change is told more often than that")


async def test_of_many_changes_only_the_folder_is_told(folder: Path):
    ear = Ear()
    async with watching(ear, folder):
        heard, names = len(ear.heard), {f"{number}" for number in range(MOST_NOTICED + 1)}
        for name in names:
            (folder / name).touch()

        def told() -> bool:
            """Where the disk takes long to make them, they are told a part at a time."""
            return set() in ear.noticed[heard:] or names <= set().union(*ear.noticed[heard:])

        await until(told, PATIENCE)
    assert max(map(len, ear.noticed)) <= MOST_NOTICED


async def test_what_was_made_later_is_watched_too(folder: Path):
    ear = Ear()
    async with watching(ear, folder):
        (folder / "new").mkdir()
        await ear.wait_for(folder, after=1)
        (folder / "new" / "a").write_text("a")
        await ear.wait_for(folder, after=2)


async def test_who_never_rests_is_told_of_nevertheless(folder: Path):
    ear = Ear()

    async def scribble() -> None:
        while True:
            with (folder / "log").open("a") as file:
                file.write("more\n")
            await asyncio.sleep(0.02)

    async with watching(ear, folder), asyncio.TaskGroup() as group:
        restless = group.create_task(scribble())
        for _ in range(TRIES):
            heard, began = len(ear.heard), time.monotonic()
            if await ear.wait_for(folder, after=heard) - began < 2:
                break
        else:
            pytest.fail("each time it is told later than that")
        restless.cancel()


async def test_what_no_import_takes_says_nothing(folder: Path):
    for name in (".git", ".dat"):
        (folder / name).mkdir()
    ear = Ear()

    def ignore(lines: str) -> None:
        """One change for the system: one that is told once."""
        (folder.parent / "rules").write_text(lines)
        (folder.parent / "rules").rename(folder / ".datignore")

    async with watching(ear, folder):
        (folder / ".git" / "index").write_text("x")
        (folder / ".dat" / "metadata.tree").write_text("x")
        (folder / ".swap").write_text("x")
        ignore("*.log")
        await ear.wait_for(folder, after=1)
        ignore("*.txt")
        await ear.wait_for(folder, after=2)
    assert len(ear.heard) == 3


async def test_only_the_folder_that_changed_is_told_of(folder: Path, tmp_path: Path):
    other = tmp_path / "shared-too"
    other.mkdir()
    ear = Ear()
    async with watching(ear, folder, other) as watch:
        heard = len(ear.heard)
        (other / "a").write_text("a")
        await ear.wait_for(other, after=heard)
        assert {told for told, _ in ear.heard[heard:]} == {other}
        watch.remove(other)
        heard = len(ear.heard)
        (other / "b").write_text("b")
        (folder / "b").write_text("b")
        await ear.wait_for(folder, after=heard)
        assert {told for told, _ in ear.heard[heard:]} == {folder}


async def test_folders_that_come_one_after_another_are_told_of_once_each(tmp_path: Path):
    folders = [tmp_path / f"{number}" for number in range(FOLDERS)]
    ear = Ear()
    async with watching(ear) as watch:
        for folder in folders:
            folder.mkdir()
            watch.add(folder)
            await ear.wait_for(folder)
        for folder in folders[::2]:
            watch.remove(folder)
        await ear.silence()
        assert [told for told, _ in ear.heard] == folders
        for folder in folders:
            (folder / "a").write_text("a")
        for folder in folders[1::2]:
            await ear.wait_for(folder, after=FOLDERS)
    assert {told for told, _ in ear.heard[FOLDERS:]} == set(folders[1::2])


# A process, since nothing of ours runs while the watcher is made.
WRITER = """
import sys, time
for number in range(1_000_000):
    open(f"{sys.argv[1]}/{number}", "x").close()
    time.sleep(0.005)  # few enough to be told by name
"""


async def test_no_change_is_missed_while_folders_come_and_go(folder: Path, tmp_path: Path):
    others = [tmp_path / f"other{number}" for number in range(8)]
    for other in others:
        for number in range(300):
            (other / f"{number}").mkdir(parents=True)
    ear, seen = Ear(), set[str]()

    def look(folder: Path, paths: Collection[str]) -> None:
        """What an import sees that is told this: all, where no names are told."""
        ear(folder, paths)
        if folder.name == "shared":
            seen.update(paths or (f"sub/{name}" for name in os.listdir(folder / "sub")))

    async with watching(ear, folder, told=look) as watch:
        command = (sys.executable, "-c", WRITER, folder / "sub")
        writer = await asyncio.create_subprocess_exec(*command)
        try:
            await until(lambda: os.listdir(folder / "sub"), PATIENCE)
            for number, other in enumerate(others):
                watch.add(other)
                await ear.wait_for(other)
                if number % 3 == 0:
                    watch.remove(other)
        finally:
            writer.kill()
            await writer.wait()
        written = {f"sub/{name}" for name in os.listdir(folder / "sub")}
        await until(lambda: written <= seen, PATIENCE)
    assert len(written) > len(others)


class Unanswered(type(Path())):  # type: ignore[misc]
    """A folder on a disk that does not answer until it is told to."""

    asked = threading.Event()
    answer = threading.Event()

    def __fspath__(self) -> str:
        self.asked.set()
        self.answer.wait(60)
        return str(self)


async def test_the_end_does_not_wait_until_a_watch_stands():
    watch = FolderWatch(Ear())
    watch.add(Unanswered("/nowhere"))
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watch.run())
            await until(Unanswered.asked.is_set, PATIENCE)
            began = time.monotonic()
            task.cancel()
        assert time.monotonic() - began < 20
    finally:
        Unanswered.answer.set()


async def test_a_folder_that_disappears_and_comes_back_is_watched_again(folder: Path):
    ear = Ear()
    async with watching(ear, folder):
        shutil.rmtree(folder)
        await ear.wait_for(folder, after=1)
        heard = len(ear.heard)
        os.mkdir(folder)
        await ear.wait_for(folder, after=heard)
        heard = len(ear.heard)
        (folder / "a").write_text("a")
        await ear.wait_for(folder, after=heard)


async def test_a_folder_that_is_made_again_at_once_is_watched(folder: Path):
    ear = Ear()
    async with watching(ear, folder):
        shutil.rmtree(folder)
        os.mkdir(folder)  # disks give it the number of the old one
        await ear.wait_for(folder, after=1)
        await ear.silence()
        heard = len(ear.heard)
        (folder / "a").write_text("a")
        await ear.wait_for(folder, after=heard)


async def test_a_folder_that_is_replaced_is_watched_in_its_new_place(folder: Path, tmp_path: Path):
    (tmp_path / "next").mkdir()
    ear = Ear()
    async with watching(ear, folder):
        os.rename(folder, tmp_path / "last")
        os.rename(tmp_path / "next", folder)
        await ear.wait_for(folder, after=1)
        heard = len(ear.heard)
        (folder / "a").write_text("a")
        await ear.wait_for(folder, after=heard)


async def test_a_folder_may_come_later(tmp_path: Path):
    folder = tmp_path / "later"
    ear = Ear()
    watch = FolderWatch(ear)
    watch.add(folder)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        await asyncio.sleep(0)
        os.mkdir(folder)
        await ear.wait_for(folder)
        task.cancel()


async def test_without_folders_there_is_no_thread_and_with_them_it_ends(folder: Path):
    ear = Ear()
    before = len(os.listdir("/proc/self/task"))
    async with watching(ear) as idle:
        assert len(os.listdir("/proc/self/task")) <= before
        idle.add(folder)
        await ear.wait_for(folder)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    # The watcher's own thread is told to end, and not waited for.
    await until(lambda: len(os.listdir("/proc/self/task")) <= before, PATIENCE)


PROGRAM = """
import asyncio, logging, os, sys
from pathlib import Path
from datd.hosting.own.watching import FolderWatch
from datd.importing.noticed import MOST_NOTICED
logging.basicConfig(level=logging.WARNING)
folder = Path(sys.argv[1])
async def main():
    told = 0
    news = asyncio.Event()
    def tell(folder, paths):
        nonlocal told
        told += 1
        news.set()
    async def wait(count):
        while told < count:
            news.clear()
            await news.wait()
    watch = FolderWatch(tell, poll_seconds=1)
    watch.add(folder)
    task = asyncio.ensure_future(watch.run())
    await wait(1)
    for number in range(int(sys.argv[2])):
        os.mkdir(folder / f"new{number}")
    await wait(told + 1)
    (folder / f"new{number}" / "file").write_text("x")
    await wait(told + 1)
    task.cancel()
    print("told")
asyncio.run(main())
"""


def run_limited(tmp_path: Path, watches: int, folder: Path, new: int) -> tuple[str, str]:
    """Watch a folder in which others appear, where the system allows so many to be watched."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    limit = f'echo {watches} > /proc/sys/user/max_inotify_watches && exec "$@"'
    unshared = ["unshare", "-Ur", "sh", "-c", limit, "sh"]
    if subprocess.run([*unshared, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the system gives us no user namespace in which watches can be limited")
    done = subprocess.run(
        [*unshared, sys.executable, script, folder, str(new)],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize(("there", "new"), [(60, 1), (1, 60)])
def test_where_the_system_watches_no_more_folders_they_are_polled(
    tmp_path: Path, folder: Path, there: int, new: int
):
    for number in range(there):
        (folder / str(number)).mkdir()
    said, log = run_limited(tmp_path, 30, folder, new)
    assert said == "told\n", log
    assert log.count("fs.inotify.max_user_watches") == 1
    assert str(folder) in log


def test_below_the_limit_nothing_is_said(tmp_path: Path, folder: Path):
    assert run_limited(tmp_path, 100, folder, 60) == ("told\n", "")
