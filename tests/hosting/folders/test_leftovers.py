import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.helpers.libraries import node, story
from tests.helpers.network import MemoryNetwork

from datd.hosting.folders.leftovers import Leftovers
from datd.hosting.library import RETRY_TURNS, TIDY_SECONDS


def filled(folder: Path) -> Path:
    (folder / "deep/er").mkdir(parents=True, exist_ok=True)
    (folder / "deep/er/file").write_bytes(b"x")
    return folder


@contextmanager
def no_descriptors() -> Iterator[None]:
    """For this process: nothing more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_c17_what_a_removal_without_descriptors_leaves_is_said_and_goes_later(tmp_path, caplog):
    async def told() -> None:
        async with node(MemoryNetwork(), tmp_path) as here:
            clock = here.services.spawn(here.library.keep_tidy())
            archive = await here.library.create()
            left = filled(archive.folder)
            await archive.tidy(close=True)
            with no_descriptors():
                await here.library.remove(archive)
            assert (left / "deep/er/file").exists()
            (said,) = [line for line in caplog.messages if "cannot be removed" in line]
            assert str(left) in said
            await asyncio.sleep(2 * RETRY_TURNS * TIDY_SECONDS)
            assert not left.exists()
            clock.cancel()

    story(told())


async def test_c17_others_give_descriptors_back_for_a_removal(tmp_path, caplog):
    left = filled(tmp_path / "left")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def relieve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    leftovers = Leftovers(relieve, asyncio.Lock(), list)
    with no_descriptors():
        await leftovers.remove(left)
    assert not left.exists()
    assert "cannot be removed" not in caplog.text


async def test_a_folder_in_which_an_archive_lies_again_is_left_alone(tmp_path):
    left = filled(tmp_path / "left")
    hosted: list[Any] = []
    leftovers = Leftovers(lambda: None, asyncio.Lock(), lambda: hosted)
    with no_descriptors():
        await leftovers.remove(left)
    hosted.append(SimpleNamespace(folder=left))
    await leftovers.again()
    hosted.clear()
    await leftovers.again()
    assert (left / "deep/er/file").exists()


async def test_a_folder_that_is_gone_is_removed(tmp_path, caplog):
    leftovers = Leftovers(lambda: None, asyncio.Lock(), list)
    await leftovers.remove(tmp_path / "never")
    # Not what an earlier test left to the collector.
    assert not [one for one in caplog.records if one.name.startswith("datd")]
    assert os.listdir(tmp_path) == []
