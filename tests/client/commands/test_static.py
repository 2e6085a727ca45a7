import json

import pytest

from datctl.commands.static import STATE, StaticFolder
from datctl.errors import UsageError
from datctl.mirror import alone


async def exported(dat, key, folder, **how):
    site = StaticFolder(folder, key, **({"all_versions": False} | how))
    version = await site.fetch(dat)
    names: dict[tuple[str, ...], bool] = {}
    site.publish(names)
    return version, names


async def test_what_a_web_server_needs_and_no_secret_is_written(api, dat, tmp_path):
    hosted = await api.host("archival-nested")
    version, names = await exported(dat, hosted.key.hex, tmp_path)
    assert version == hosted.expected["version"]
    files = {file.name for file in (tmp_path / ".dat").iterdir()}
    assert "content.data" not in files
    assert not [name for name in files if "secret" in name or name.endswith(".new")]
    assert (tmp_path / ".dat" / "metadata.key").read_bytes() == hosted.key.raw
    told = (tmp_path / ".well-known" / "dat").read_text()
    assert told == f"dat://{hosted.key.hex}/\nttl=3600\n"
    assert names == {(".well-known",): True, (".well-known", "dat"): False}


async def test_a_second_run_fetches_nothing_that_is_the_same(api, dat, tmp_path):
    hosted = await api.host("archival-nested")
    await exported(dat, hosted.key.hex, tmp_path, all_versions=True)
    before = (tmp_path / ".dat" / "content.data").stat().st_ino
    await exported(dat, hosted.key.hex, tmp_path, all_versions=True)
    assert (tmp_path / ".dat" / "content.data").stat().st_ino == before


async def test_what_a_run_that_was_cut_short_has_left_is_removed(api, dat, tmp_path):
    hosted = await api.host("archival-nested")
    await exported(dat, hosted.key.hex, tmp_path)
    left = tmp_path / ".dat" / ".content.data.new"
    left.write_bytes(b"all versions")
    await exported(dat, hosted.key.hex, tmp_path)
    assert not left.exists()


async def test_two_runs_do_not_write_into_one_folder(shell, dat, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    with alone(tmp_path):
        await shell.text("export", "mine", str(tmp_path), "--static", status=1)
    assert "already" in shell.err
    await shell.text("export", "mine", str(tmp_path), "--static")


async def test_folders_of_others_are_left_alone(api, dat, tmp_path):
    hosted = await api.host("archival-nested")
    (tmp_path / ".dat").mkdir()
    with pytest.raises(UsageError, match="not written by"):
        StaticFolder(tmp_path, hosted.key.hex, all_versions=False)
    (tmp_path / ".dat" / STATE).write_text(json.dumps({"archive": "00" * 32, "etags": {}}))
    with pytest.raises(UsageError, match="another archive"):
        StaticFolder(tmp_path, hosted.key.hex, all_versions=False)
