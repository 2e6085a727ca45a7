"""The workshop script: what it says, what it takes from pip's settings, where it looks for pip."""

import base64
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "dev"
WHEEL = "pip-99.1-py3-none-any.whl"
WHEEL_BYTES = b"the bytes of a wheel"
SHA256 = hashlib.sha256(WHEEL_BYTES).hexdigest()


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, at work in another folder."""
    module = ModuleType("dev")
    module.__file__ = str(SCRIPT)
    SourceFileLoader("dev", str(SCRIPT)).exec_module(module)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    home = tmp_path / ".dev"
    (home / "bootstrap").mkdir(parents=True)
    (tmp_path / "requirements.lock").write_text(
        f"packaging==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
        f"pip==99.1 \\\n    --hash=sha256:{'1' * 64} \\\n    --hash=sha256:{SHA256}\n    # via x\n"
    )
    for name, path in {
        "HOME": home,
        "BOOTSTRAP": home / "bootstrap",
        "LOCK": tmp_path / "requirements.lock",
        "PYTHON": Path(sys.executable),
    }.items():
        monkeypatch.setattr(module, name, path)
    return module


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_command(dev: ModuleType):
    shown = run("--help")
    assert shown.returncode == 0
    assert all(f"\n  {name} " in shown.stdout for name in dev.COMMANDS)


def test_without_a_command_it_shows_the_same_and_fails():
    shown = run()
    assert (shown.returncode, shown.stdout) == (2, run("--help").stdout)


def test_an_unknown_command_is_answered_in_one_sentence():
    said = run("tset")
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "there is no command 'tset': one of run, test," in said.stderr


def test_only_the_standard_library_is_imported():
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*sys.modules)"
    # -S: without any installed package. -I: without what this test's environment adds.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert {name.split(".")[0] for name in done.stdout.split()} <= {
        *sys.stdlib_module_names, "__main__", "importlib._bootstrap",
    }  # fmt: skip


def test_settings_of_pip_come_from_files_then_variables(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex_url = https://one.example/simple\ncert = /one.pem\n"
        "[install]\ncert = /two.pem\n[list]\nformat = json\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_INDEX_URL", "https://two.example/simple")
    settings = dev.pip_settings()
    assert settings["index-url"] == "https://two.example/simple"
    assert settings["cert"] == "/two.pem"
    assert "format" not in settings


def test_settings_of_pip_can_be_switched_off(dev: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert dev.pip_settings() == {"config-file": "/dev/null"}


def test_the_pip_of_the_lock_with_its_hashes(dev: ModuleType):
    assert dev.locked_pip() == (WHEEL, {"1" * 64, SHA256})


class Index(http.server.BaseHTTPRequestHandler):
    """A package index that asks for a password and keeps its files elsewhere."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        login = "Basic " + base64.b64encode(b"me:se:cret").decode()
        data = self.files.get(self.path)
        allowed = self.headers["Authorization"] == login
        self.send_response(200 if data and allowed else 404 if allowed else 401)
        self.end_headers()
        self.wfile.write(data if data and allowed else b"")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def index() -> Iterator[str]:
    """Address of an index that holds the locked pip."""
    page = (
        f'<a href="../../files/{WHEEL}#sha256={SHA256}">{WHEEL}</a><a href="pip-1.0.tar.gz">x</a>'
    )
    Index.files = {"/simple/pip/": page.encode(), f"/files/{WHEEL}": WHEEL_BYTES}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://me:se%3Acret@127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


def test_pip_is_fetched_from_the_configured_index(dev: ModuleType, index: str):
    wheel = dev.pip_from_index({"index-url": index})
    assert (wheel.name, wheel.read_bytes()) == (WHEEL, WHEEL_BYTES)


def test_an_index_that_is_away_is_passed_over_without_its_password(
    dev: ModuleType, index: str, capsys: pytest.CaptureFixture[str]
):
    away = "http://me:hidden@127.0.0.1:9/simple"
    assert dev.pip_from_index({"index-url": away, "extra-index-url": index}) is not None
    said = capsys.readouterr().err
    assert "no pip from 127.0.0.1:9" in said
    assert "hidden" not in said


def test_a_wheel_with_another_hash_is_refused(
    dev: ModuleType, index: str, capsys: pytest.CaptureFixture[str]
):
    Index.files[f"/files/{WHEEL}"] = b"something else"
    with pytest.raises(SystemExit):
        dev.pip_from_index({"index-url": index})
    assert "another SHA-256" in capsys.readouterr().err
    assert not list(dev.BOOTSTRAP.iterdir())


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_pip_is_found_in_a_folder_of_wheels(dev: ModuleType, tmp_path: Path, scheme: str):
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / WHEEL).write_bytes(WHEEL_BYTES)
    assert dev.pip_from_index({"find-links": f"{scheme}{folder}"}) is not None


def test_without_any_index_there_is_none(dev: ModuleType):
    assert dev.pip_from_index({}) is None


def test_a_step_is_done_once_for_each_state(dev: ModuleType):
    done: list[str] = []
    for state in ("one", "one", "two"):
        dev.step("env", state, lambda state=state: done.append(state))
    assert done == ["one", "two"]


def test_a_step_that_failed_is_done_again(dev: ModuleType):
    def fail() -> None:
        raise OSError("no space")

    dev.step("env", "one", lambda: None)
    with pytest.raises(OSError, match="no space"):
        dev.step("env", "two", fail)
    done: list[str] = []
    dev.step("env", "one", lambda: done.append("again"))
    assert done == ["again"]
