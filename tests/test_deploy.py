"""The container file, read without an engine: what it builds is reproducible and safe to run."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from datd import config

ROOT = Path(__file__).parents[1]
CONTAINERFILE = ROOT / "deploy" / "Containerfile"


class Instruction(NamedTuple):
    """One instruction of a container file, its continued lines joined."""

    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """Instructions of each stage; the last one is what runs."""
    found: list[list[Instruction]] = []
    for instruction in instructions(CONTAINERFILE.read_text()):
        if instruction.word == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def of(stage: list[Instruction], word: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.word == word]


def test_two_stages_and_the_last_holds_only_what_runs(stages: list[list[Instruction]]):
    build, final = stages
    assert of(build, "FROM")[0].endswith(" AS build")
    assert all(copied.startswith("--from=build ") for copied in of(final, "COPY"))
    assert not [run for run in of(final, "RUN") if "pip" in run or "apt" in run]


def test_both_are_the_same_debian(stages: list[list[Instruction]]):
    images = {of(stage, "FROM")[0].split()[0] for stage in stages}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", images.pop())


def test_it_runs_as_nobody_of_the_host(stages: list[list[Instruction]]):
    user = of(stages[-1], "USER")[-1]
    assert all(int(number) >= 10_000 for number in user.split(":"))
    assert [i.word for i in stages[-1]].index("USER") < [i.word for i in stages[-1]].index("VOLUME")


def test_data_ports_health_and_end(stages: list[list[Instruction]]):
    final = stages[-1]
    assert of(final, "VOLUME") == ["/var/lib/datd"]
    assert "DATD_DATA_DIR=/var/lib/datd" in of(final, "ENV")[0]
    assert of(final, "EXPOSE")[0].split() == ["3282/tcp", "3282/udp"]
    assert of(final, "HEALTHCHECK")[0].endswith('CMD ["datctl", "status"]')
    assert of(final, "ENTRYPOINT") == ['["datd"]']
    assert of(final, "STOPSIGNAL") == ["SIGTERM"]


def test_nothing_of_the_container_may_be_published_unasked(
    stages: list[list[Instruction]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for given in of(stages[-1], "ENV")[0].split():
        name, _, value = given.partition("=")
        if name != "PATH":
            monkeypatch.setenv(name, value)
    settings = config.load(None, {"data_dir": tmp_path})
    assert config.import_roots(settings) == []
    assert config.owner_keys(settings) is None


def test_every_package_is_checked_against_a_hash(stages: list[list[Instruction]]):
    installs = [part for run in of(stages[0], "RUN") for part in run.split("&&") if "pip " in part]
    assert installs
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install


def test_nothing_is_fetched_by_address(stages: list[list[Instruction]]):
    everything = [instruction for stage in stages for instruction in stage]
    assert not [i for i in everything if i.word == "ADD"]
    assert not [i for i in everything if i.word != "LABEL" and "://" in i.rest]


def test_what_is_copied_exists(stages: list[list[Instruction]]):
    for copied in of(stages[0], "COPY"):
        *sources, _ = copied.split()
        assert all((ROOT / source).exists() for source in sources)


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


def test_the_image_has_the_versions_that_were_tested():
    image, tested = locked(ROOT / "deploy/requirements.lock"), locked(ROOT / "requirements.lock")
    assert image.items() <= tested.items()


def test_the_lock_holds_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w-]", wanted)[0].lower() for wanted in project["dependencies"]}
    assert names <= locked(ROOT / "deploy/requirements.lock").keys()


@pytest.mark.parametrize("name", ["requirements.lock", "deploy/requirements.lock"])
def test_locks_carry_hashes_and_no_address(name: str):
    text = (ROOT / name).read_text()
    assert "://" not in text
    # Each entry is followed by the hashes it may have.
    assert len(re.findall(r"==\S+.*\\\n    --hash=sha256:", text)) == len(locked(ROOT / name))
