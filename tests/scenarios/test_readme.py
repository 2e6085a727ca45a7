"""What the README tells a newcomer to type works as printed."""

import re
import shlex
from pathlib import Path

import pytest
from tests.helpers.daemon import running_daemon
from tests.helpers.seeds import plant

README = Path(__file__).parents[2] / "README.md"


def quick_start() -> list[list[str]]:
    """The first block of commands for `datctl`, without the comments and without `./dev exec`."""
    for block in re.findall(r"^```\w*\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL):
        lines = [line for line in block.splitlines() if line.startswith("./dev exec datctl ")]
        if lines:
            return [shlex.split(line, comments=True)[3:] for line in lines]
    raise AssertionError("README.md shows no first steps with datctl")


def test_the_first_steps_of_the_readme_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    seed = plant("archival-nested", tmp_path / "data")
    file = next(iter(seed.files)).strip("/")
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    steps = quick_start()
    assert {"add", "list", "ls", "get"} <= {step[0] for step in steps}
    with running_daemon(tmp_path / "data") as daemon:
        for step in steps:
            words = [w.replace("KEY", seed.key).replace("some/file", file) for w in step]
            daemon.datctl(*words)
    assert (place / Path(file).name).exists()
