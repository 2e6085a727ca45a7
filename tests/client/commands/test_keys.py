import asyncio
import io
import os
import sys

import pytest
from tests.helpers.api import TOKEN


@pytest.fixture
async def key(dat):
    return (await dat.create(name="mine", title="Mine")).key


async def test_a_secret_key_goes_into_a_file_of_ones_own(shell, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = os.umask(0)
    try:
        assert await shell.text("keys", "export", "mine") == "", "nothing reaches a terminal"
        await shell.text("keys", "export", "mine", "named")
    finally:
        os.umask(old)
    for name in (f"{key[:12]}.secret", "named"):
        assert os.stat(name).st_mode & 0o777 == 0o600
        assert (tmp_path / name).read_text().strip()[64:] == key
    assert (await shell.text("keys", "export", "mine", "-")).strip()[64:] == key
    await shell.text("keys", "export", "mine", "named", status=1)
    assert "exists already" in shell.err
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    await shell.text("keys", "export", "mine", "link", status=1)
    assert not (tmp_path / "elsewhere").exists()
    await shell.text("keys", "export", "nobody", status=4)


async def test_somebody_elses_archive_has_no_key_here(shell, tmp_path):
    await shell.run("add", "a" * 64)
    await shell.text("keys", "export", "aaaaaa", str(tmp_path / "x"), status=1)
    assert "not here" in shell.err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("form", ["hex", "bytes", "json", "stdin"])
async def test_a_key_makes_an_archive_ours_again(shell, key, tmp_path, monkeypatch, form):
    secret = (await shell.text("keys", "export", "mine", "-")).strip()
    await shell.run("remove", "mine", "--force", "--delete-key", "--yes")
    place = tmp_path / "secret"
    match form:
        case "bytes":
            place.write_bytes(bytes.fromhex(secret))
        case "json":
            place.write_text(f'{{"key": "{key}", "secret_key": "{secret}"}}')
        case _:
            place.write_text(f"{secret.upper()}\n")
    with place.open() as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        await shell.text("keys", "import", *([] if form == "stdin" else [str(place)]))
    assert "hosted from now on" in shell.err
    assert (await shell.json("show", key))["writable"] is True


@pytest.mark.parametrize("text", ["", "x", "a" * 127, "{", '{"secret_key": 1}', "a" * 128])
async def test_what_is_no_key_is_refused(shell, tmp_path, text):
    place = tmp_path / "secret"
    place.write_text(text)
    await shell.text("keys", "import", str(place), status=1 if len(text) == 128 else 2)
    assert text.strip() not in shell.err or len(text) < 2


async def test_a_key_is_not_shown_on_a_terminal(shell, key, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    await shell.text("keys", "export", "mine", "-", status=2)
    assert shown.getvalue() == ""


# Only what this program writes is cut off: the daemon of the test writes all the time.
_NO_ROOM = """
import resource, sys
from datctl import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
sys.exit(cli.main())
"""


async def test_a_key_that_did_not_fit_leaves_no_half(api, key, tmp_path):
    line = ["--api", api.url, "--token", TOKEN, "keys", "export", "mine", str(tmp_path / "key")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _NO_ROOM, *line,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await process.communicate()
    assert process.returncode == 1
    assert b"File too large" in told
    assert not (tmp_path / "key").exists()
