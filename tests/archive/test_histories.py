"""Random histories, written by us and compared with a plain dictionary at every version."""

import random
from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.own_archives import THEN, files, new_archive, put

from datd.archive.writer import ArchiveWriter
from datd.errors import EntryNotFound, FolderNotEmpty, PathRefused

# Few names and short ways, so that paths meet: files that are folders, folders that die and return.
NAMES = "abc"
LENGTH = 60
Change = tuple[str, str]


def history(rng: random.Random) -> Iterator[Change]:
    """Puts, and removals of what was put before; the reference's rule loses files in one of five.

    Now and then something that may not be done, and a new writer.
    """
    paths = ["a"]
    for _ in range(LENGTH):
        what = rng.choice(["put"] * 8 + ["remove"] * 8 + ["mkdir", "rmdir", "new"])
        if what in ("put", "mkdir"):
            paths.append("/".join(rng.choices(NAMES, k=rng.randint(1, 4))))
        yield what, paths[-1] if what in ("put", "mkdir") else rng.choice(paths)


def lies_in(folder: str, model: Mapping[str, bytes | None]) -> bool:
    return any(path.startswith(folder + "/") for path in model)


def change(writer: ArchiveWriter, model: dict[str, bytes | None], what: str, path: str) -> bool:
    """Do one thing to both; whether it may be done."""
    there = path in model
    match what:
        case "put":
            data = f"{path} {writer.archive.version}".encode()
            put(writer, path, data)
            model[path] = data
            return True
        case "remove":
            allowed = model.get(path) is not None
            call = writer.remove
        case "mkdir":
            allowed = not there
            call = lambda path: writer.mkdir(path, mtime=THEN, ctime=THEN)  # noqa: E731
        case _:
            allowed = there and model[path] is None and not lies_in(path, model)
            call = writer.rmdir
    try:
        call(path)
    except (EntryNotFound, PathRefused, FolderNotEmpty):
        assert not allowed
        return False
    assert allowed
    if what == "mkdir":
        model[path] = None
    else:
        del model[path]
    return True


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 20))
def test_no_path_is_ever_lost_or_shown_twice(rng, commit_every):
    archive = new_archive()
    writer = ArchiveWriter(archive)
    model: dict[str, bytes | None] = {}
    versions = [dict(model)]
    for what, path in history(rng):
        if what == "new":
            writer.commit()
            writer = ArchiveWriter(archive)  # as after a restart: it holds nothing
        elif change(writer, model, what, path):
            versions.append(dict(model))
        found = writer.find(path)
        assert (found is not None) == (path in model)
        if writer.queued >= commit_every:
            writer.commit()
    writer.commit()
    assert archive.version == len(versions) - 1
    for version, wanted in enumerate(versions):
        told = files(archive, version)
        assert len(told) == len(wanted)
        assert {path[1:]: data for path, data in told} == wanted
        tops = sorted({path.split("/")[0] for path in wanted})
        assert [name for name, _ in archive.list("/", version)] == tops


@settings(max_examples=30)
@given(st.integers())
def test_the_bytes_do_not_depend_on_when_is_committed(seed):
    archives = []
    for commit_every in (1, 1000):
        archive = new_archive()
        writer = ArchiveWriter(archive)
        model: dict[str, bytes | None] = {}
        for what, path in history(random.Random(seed)):
            if what != "new":
                change(writer, model, what, path)
            if writer.queued >= commit_every:
                writer.commit()
        writer.commit()
        archives.append([archive.metadata.get(seq) for seq in range(archive.metadata.length)])
    assert archives[0] == archives[1]
