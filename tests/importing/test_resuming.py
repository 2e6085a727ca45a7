"""Imports that are killed, and done again."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helpers.folders import write
from tests.helpers.imports import import_folder, outcome, wall_clock
from tests.helpers.own_archives import PAIR, read

from datd.archive.archive import Archive
from datd.archive.creation import create, open_own
from datd.hosting.descriptors import Descriptors
from datd.importing import importer as importing
from datd.importing.importer import Importer
from datd.storage import layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    write(made / "a", b"a")
    write(made / "huge", random.Random(1).randbytes(3_000_000))
    write(made / "z", b"z")
    return made


def length(archive: Archive) -> int:
    assert archive.content is not None
    return archive.content.length


@pytest.fixture(params=["fixed", "content"])
def chunking(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Archive]:
    (tmp_path / "store").mkdir()
    return lambda: create(layout.flat(tmp_path / "store", Descriptors(32)), PAIR)


def reopened(tmp_path: Path) -> Archive:
    return open_own(layout.flat(tmp_path / "store", Descriptors(32)), clean=False)


@pytest.mark.parametrize("slices", [1, 5, 20, 40])
def test_nothing_is_stored_twice_wherever_it_was_cut_short(
    tmp_path: Path,
    folder: Path,
    make: Callable[[], Archive],
    chunking: str,
    slices: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(importing, "SLICE_SIZE", 100_000)
    monkeypatch.setattr(importing, "COMMIT_SIZE", 300_000)
    archive = make()
    cut_short = Importer(archive, folder, now=wall_clock, chunking=chunking)  # type: ignore[arg-type]
    for _ in range(slices):
        if cut_short.advance() is None:
            break
    # No close: what is not flushed is lost with the process.
    again = reopened(tmp_path)
    version = again.version
    progress = import_folder(again, folder, chunking=chunking)
    assert again.version == 3
    assert progress.added == 3 - version
    stats = [again.stat(f"/{name}") for name in ("a", "huge", "z")]
    assert length(again) == sum(stat.blocks for stat in stats)
    assert read(again, "/huge") == (folder / "huge").read_bytes()
    assert outcome(import_folder(again, folder, chunking=chunking)) == (0, 0, 0, 3)
    assert length(again) == sum(stat.blocks for stat in stats)


PROGRAM = """
import sys
from pathlib import Path
from tests.helpers.imports import import_folder
from datd.archive.creation import open_own
from datd.hosting.descriptors import Descriptors
from datd.storage import layout
store, folder = map(Path, sys.argv[1:])
archive = open_own(layout.flat(store, Descriptors(32)))
print("begun", flush=True)
import_folder(archive, folder)
"""


def test_c1_a_process_that_is_killed_leaves_an_archive_that_the_next_one_completes(
    tmp_path: Path, make: Callable[[], Archive]
):
    folder = tmp_path / "many"
    write(folder / "big", random.Random(2).randbytes(20_000_000))
    for number in range(2_000):
        write(folder / f"{number % 20}" / f"{number}", b"%d" % number)
    archive = make()
    archive.metadata.close()
    assert archive.content is not None
    archive.content.close()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), str(folder)]
    paths = [path for path in sys.path if path.endswith(("daemon", "client"))]
    root = str(Path(__file__).parents[2])
    for delay in (0.05, 0.1, 0.2):
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join([root, *paths])},
            cwd=root,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
    again = reopened(tmp_path)
    progress = import_folder(again, folder)
    assert progress.added + progress.unchanged == 2_001
    assert again.version == 2_001
    found = dict(again.walk())
    assert len(found) == 2_001
    assert read(again, "/big") == (folder / "big").read_bytes()
    assert all(read(again, f"/{n % 20}/{n}") == b"%d" % n for n in range(0, 2_000, 50))
    assert length(again) == sum(stat.blocks for stat in found.values())
