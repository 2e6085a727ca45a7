"""The house rules: floors hold, each module has its test, no file is of one machine alone."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import datd

ROOT = Path(__file__).parents[1]
MAX_LINES = 450

# Modules without a test file of their own name, and the file that tests them.
TESTED_IN: dict[str, str] = {
    "datd/swarm/archive_peers.py": "swarm/test_peers.py",
    "datd/hosting/line.py": "hosting/web/test_line.py",
}
# Modules with nothing to test, and why.
NOTHING_TO_TEST: dict[str, str] = {
    "datd/discovery/base.py": "an interface; tests/suites holds it against each implementation",
    "datd/errors.py": "names of errors",
    "datd/gateways/grants.py": "values and an interface; the tests of each way use them",
    "datd/hosting/services.py": "a record of handles",
    "datd/hosting/views.py": "values to show",
    "datd/records.py": "values; the tests of the catalogue write and read them",
    "datd/settings.py": "values with limits; the tests of the configuration hold them",
    "datd/swarm/limits.py": "numbers; the tests of who obeys them hold them",
    "datd/transport/base.py": "an interface; tests/suites holds it against each implementation",
    "datd/types.py": "names of types",
    "datctl/errors.py": "names of errors",
}

TOP_LEVEL = {
    "pyproject.toml", "requirements.lock", "README.md", "CHANGELOG.md", "LICENSE", "dev",
    "daemon", "client", "tests", "systemd", "deploy",
}  # fmt: skip
# Written by programs, kept out of git; `.gitignore` names them too.
MADE = {"__pycache__", "node_modules", "dist", "build"}

# Folders of one machine, and hosts of package registries.
FOREIGN = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root)/|://[a-z0-9.-]*(npm|pypi|debian)")
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")


def files() -> list[Path]:
    """Every file of the project: what git has or would take, or what lies here without git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found = [ROOT / name for name in done.stdout.split("\0") if name]
            return [path for path in found if path.exists()]
    return list(walk(ROOT))


def walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, without what programs made."""
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in (".ci", ".gitignore")
        if path.is_file() and not hidden:
            yield path
        elif path.is_dir() and not hidden and path.name not in MADE:
            yield from walk(path)


def text_of(path: Path) -> str:
    """Its text, or nothing for a binary file, and for one that was gone when its turn came."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    return "" if b"\0" in data[:1000] else data.decode(errors="replace")


def modules() -> list[str]:
    """Modules of both packages, as `datd/feed/rle.py`, without those a compiler wrote."""
    return sorted(
        str(path.relative_to(root))
        for root in (ROOT / "daemon", ROOT / "client")
        for path in root.rglob("*.py")
        if not path.name.endswith("_pb2.py") and path.name not in ("__init__.py", "__main__.py")
    )


def test_floors_hold():
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("module", modules())
def test_each_module_has_its_test_beside_it(module: str):
    if module in NOTHING_TO_TEST:
        return
    package, *inner, name = Path(module).parts
    folder = ROOT.joinpath("tests", *(["client"] if package == "datctl" else []), *inner)
    own = folder / f"test_{name}"
    if module in TESTED_IN:
        assert not own.exists(), f"{module} has a test of its own: take it out of TESTED_IN"
        assert (ROOT / "tests" / TESTED_IN[module]).exists()
    else:
        assert own.exists(), f"no {own.relative_to(ROOT)}"


def test_exceptions_are_about_modules_that_exist():
    assert {*TESTED_IN, *NOTHING_TO_TEST} <= set(modules())


@pytest.mark.parametrize("module", modules())
def test_a_module_is_about_one_noun(module: str):
    top = "client" if module.startswith("datctl") else "daemon"
    assert len((ROOT / top / module).read_text().splitlines()) <= MAX_LINES


def test_nothing_in_the_files_belongs_to_one_machine():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in files()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert found == []


def test_nothing_is_left_for_later():
    sources = [path for path in files() if path.suffix in (".py", ".js") or path.name == "dev"]
    mine = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in sources
        if path != mine and not path.name.endswith("_pb2.py")
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert found == []


def test_the_top_level_holds_only_what_was_agreed():
    tops = {path.relative_to(ROOT).parts[0] for path in files()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


def test_commands_can_be_started():
    for name in ("dev", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), f"{name} has lost its run bit"


def test_the_readme_and_ci_name_the_same_commands():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "./dev run" in readme
    assert "./dev test" in readme
    assert "./dev test --ci" in ci
    assert "./dev check" in ci


def test_the_changelog_tells_of_this_version():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0].split()[0] in (datd.__version__, "Unreleased")
