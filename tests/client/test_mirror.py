import json

import pytest
from tests.helpers.people import as_ordinary_user

from datctl.errors import UsageError, WriteError
from datctl.mirror import STATE_NAME, Mirror, alone


@pytest.fixture
async def mine(dat):
    made = await dat.create(name="mine")
    for path in ("/a", "/b", "/deep/er/c"):
        await dat.put("mine", path, path.encode())
    return made.key


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != STATE_NAME
    }


async def test_each_version_arrives_and_only_what_changed_is_written(dat, mine, tmp_path):
    place = tmp_path / "copy"
    mirror = Mirror(dat, mine, "/", place, wait=5)
    report, removed = await mirror.bring(3)
    assert (report.files, removed, mirror.complete) == (3, 0, True)
    assert files_in(place) == {"a": b"/a", "b": b"/b", "deep/er/c": b"/deep/er/c"}
    untouched = (place / "a").stat().st_ino
    await dat.put(mine, "/b", b"changed")
    await dat.delete(mine, "/deep", recursive=True)
    await dat.mkdir(mine, "/empty")
    report, removed = await mirror.bring((await dat.archive(mine)).version)
    assert (report.files, report.kept, removed) == (1, 0, 1)
    assert files_in(place) == {"a": b"/a", "b": b"changed"}
    assert (place / "a").stat().st_ino == untouched
    assert not (place / "deep").exists()
    assert (place / "empty").is_dir()


async def test_what_somebody_put_or_changed_there_stays(dat, mine, tmp_path):
    place = tmp_path / "copy"
    mirror = Mirror(dat, mine, "/", place, wait=5)
    await mirror.bring(3)
    (place / "mine.txt").write_text("mine")
    (place / "deep/mine").write_text("mine")
    (place / "b").write_text("edited by hand")
    for path in ("/b", "/deep/er/c"):
        await dat.delete(mine, path)
    report, removed = await mirror.bring(5)
    assert removed == 1
    assert [path for path, _ in report.skipped] == ["/b"]
    assert files_in(place) == {
        "a": b"/a", "b": b"edited by hand", "mine.txt": b"mine", "deep/mine": b"mine"
    }  # fmt: skip
    assert not (place / "deep/er").exists()


async def test_a_later_run_goes_on_where_the_last_one_ended(dat, mine, tmp_path):
    place = tmp_path / "copy"
    await Mirror(dat, mine, "/", place, wait=5).bring(3)
    await dat.delete(mine, "/a")
    await dat.put(mine, "/new", b"new")
    (place / "deep/er/c").unlink()
    again = Mirror(dat, mine, "/", place, wait=5)
    report, removed = await again.bring(5)
    assert (report.files, report.kept, removed) == (2, 1, 1)
    assert set(files_in(place)) == {"b", "deep/er/c", "new"}


async def test_what_a_run_that_was_cut_short_has_written_is_removed_too(dat, mine, tmp_path):
    place = tmp_path / "copy"
    mirror = Mirror(dat, mine, "/", place, wait=5)
    await mirror.bring(3)
    await dat.put(mine, "/short-lived", b"x")
    await dat.delete(mine, "/short-lived")

    def cut(report):
        if report.files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await mirror.bring(4, cut)
    assert (place / "short-lived").exists()
    assert json.loads((place / STATE_NAME).read_text())["versions"] == [3, 4]
    again = Mirror(dat, mine, "/", place, wait=5)
    await again.bring(5)
    assert set(files_in(place)) == {"a", "b", "deep/er/c"}
    assert again.begun == [5]


async def test_a_file_becomes_a_folder_and_back(dat, mine, tmp_path):
    place = tmp_path / "copy"
    mirror = Mirror(dat, mine, "/", place, wait=5)
    await mirror.bring(3)
    await dat.delete(mine, "/a")
    await dat.put(mine, "/a/inner", b"inner")
    await mirror.bring(5)
    assert files_in(place)["a/inner"] == b"inner"
    await dat.delete(mine, "/a/inner")
    await dat.put(mine, "/a", b"file again")
    await mirror.bring(7)
    assert files_in(place)["a"] == b"file again"


async def test_a_folder_of_the_archive_is_followed_alone(dat, mine, tmp_path):
    place = tmp_path / "copy"
    mirror = Mirror(dat, mine, "deep/", place, wait=5)
    await mirror.bring(3)
    await dat.put(mine, "/elsewhere", b"x")
    await dat.put(mine, "/deep/d", b"d")
    await mirror.bring(5)
    assert set(files_in(place)) == {"er/c", "d"}


async def test_a_folder_follows_one_archive(dat, mine, tmp_path):
    await Mirror(dat, mine, "/", tmp_path, wait=5).bring(3)
    with pytest.raises(UsageError, match="another folder"):
        Mirror(dat, "b" * 64, "/", tmp_path, wait=5)
    with pytest.raises(UsageError):
        Mirror(dat, mine, "/deep", tmp_path, wait=5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"versions": ["x"]}', "[" * 9000])
async def test_a_note_that_is_none_of_ours_is_not_believed(dat, mine, tmp_path, text):
    (tmp_path / STATE_NAME).write_text(text)
    with pytest.raises(WriteError, match="begin anew"):
        Mirror(dat, mine, "/", tmp_path, wait=5)


async def test_the_note_is_no_link_to_elsewhere(dat, mine, tmp_path):
    (tmp_path / "real").write_text("{}")
    place = tmp_path / "copy"
    place.mkdir()
    (place / STATE_NAME).symlink_to(tmp_path / "real")
    with pytest.raises(WriteError):
        Mirror(dat, mine, "/", place, wait=5)


async def test_nothing_of_hostile_names_is_written_outside_nor_removed(api, dat, tmp_path):
    hosted = await api.host("archival-hostile-names")
    await dat.list(hosted.key.hex)
    place = tmp_path / "in" / "copy"
    mirror = Mirror(dat, hosted.key.hex, "/", place, wait=5)
    version = (await dat.archive(hosted.key.hex)).version
    for number in (1, version // 2, version):
        await mirror.bring(number)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["copy"]
    assert not [p for p in place.iterdir() if p.name.lower() in (".dat", ".datd")]


async def test_once_complete_nothing_that_was_put_or_changed_there_is_replaced(dat, mine, tmp_path):
    place = tmp_path / "copy"
    place.mkdir()
    (place / "a").write_text("from an older copy")
    mirror = Mirror(dat, mine, "/", place, wait=5)
    await mirror.bring(3)
    assert files_in(place)["a"] == b"/a", "the first time it is a copy like any other"
    (place / "a").write_text("edited")
    # Not as long as the archive's: of the same millisecond they would be the same file to us.
    (place / "b").write_text("edited, too")
    (place / "later").write_text("mine")
    await dat.put(mine, "/b", b"theirs")
    await dat.put(mine, "/later", b"theirs")
    await dat.put(mine, "/deep/er/c", b"changed")
    again = Mirror(dat, mine, "/", place, wait=5)
    for run, stays in ((mirror, ["/b", "/later"]), (again, ["/a", "/b", "/later"])):
        report, _ = await run.bring(6)
        told = [path for path, why in report.skipped if "it stays" in why]
        assert sorted(told) == stays
        assert files_in(place) == {
            "a": b"edited", "b": b"edited, too", "later": b"mine", "deep/er/c": b"changed"
        }  # fmt: skip


async def test_what_is_written_there_while_it_is_fetched_stays(dat, mine, tmp_path):
    place = tmp_path / "copy"
    mirror = Mirror(dat, mine, "/", place, wait=5)
    await mirror.bring(3)
    await dat.put(mine, "/b", b"theirs")

    def edit(report):
        if report.size:
            (place / "b").write_text("edited meanwhile")

    report, _ = await mirror.bring(4, edit)
    assert [path for path, _ in report.skipped] == ["/b"]
    assert (place / "b").read_text() == "edited meanwhile"


async def test_a_first_run_that_was_cut_short_goes_on_as_a_copy(dat, mine, tmp_path):
    place = tmp_path / "copy"
    place.mkdir()
    (place / "b").write_text("from an older copy")

    def cut(report):
        if report.files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Mirror(dat, mine, "/", place, wait=5).bring(3, cut)
    await Mirror(dat, mine, "/", place, wait=5).bring(3)
    assert files_in(place)["b"] == b"/b"


async def test_two_runs_do_not_follow_into_one_folder(tmp_path):
    with alone(tmp_path / "copy"), pytest.raises(WriteError, match="already"):  # noqa: SIM117
        with alone(tmp_path / "copy"):
            pass
    with alone(tmp_path / "copy"):
        pass


async def test_the_note_is_written_whole_or_not_at_all(api, dat, mine, tmp_path):
    place = tmp_path / "copy"
    await Mirror(dat, mine, "/", place, wait=5).bring(3)
    before = (place / STATE_NAME).read_text()
    await dat.put(mine, "/b", b"new")
    again = Mirror(dat, mine, "/", place, wait=5)
    place.chmod(0o555)
    # The daemon is somebody else for that time, too, and could not open the archive again.
    async with api.library.find(mine).opened():
        with as_ordinary_user(tmp_path), pytest.raises(WriteError, match="cannot be written"):
            await again.bring(4)
    place.chmod(0o755)
    assert (place / STATE_NAME).read_text() == before
    assert [path.name for path in place.glob(f"{STATE_NAME}.*")] == []
