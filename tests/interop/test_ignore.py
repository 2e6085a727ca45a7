"""Our ignore rules beside dat-ignore itself."""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.helpers.reference import Reference

from datd.errors import ConfigError
from datd.importing.ignore import IgnoreRules

# Lines of archives.md section 10, and others that people write.
LINES = (
    "*.log", "**/*.log", "secret.txt", "/secret.txt", "/logs", "logs", "logs/", "sub/logs", "sub/*",
    "!keep.log", "# text", "**/node_modules/**", "node_modules", "*.{jpg,png}", "build/**",
    "**/build/**/*.o", "a?c", "[a-c]*.txt", "[!a]*.txt", ".*", "**/.*", "*", "**", "!**/keep.log",
    "docs/**/draft", "foo (1).txt", "foo (*).txt", "./x.log", "!.env", "!.git/config", "*~",
    "x.log ", " x.log", "sub", "**/sub/*", "@(logs|tmp)/*", "data-{1..3}/*", r"\*.log", "Thumbs.db",
    "c++",
)  # fmt: skip
FILES = (
    "x.log", "sub/x.log", "sub/logs/1.txt", "logs/1.txt", "logs/deep/2.txt", "secret.txt",
    "sub/secret.txt", "keep.log", "sub/keep.log", "# text", "text", "node_modules/a/index.js",
    "sub/node_modules/b.js", "pic.jpg", "sub/pic.png", "build/x.o", "build/a/b.o",
    "src/build/c/d.o", "abc", "aXc", "a.txt", "d.txt", ".env", ".git/config", "sub/.hidden",
    ".well-known/dat",
    "sub/.well-known/dat", "sub/.well-known/x", ".dat/metadata.key", "sub/.dat/x", ".DS_Store",
    "sub/.DS_Store", "docs/draft", "docs/a/b/draft", "docsx/draft", "foo (1).txt", "foo.txt",
    "notes~", "tmp/x", "data-2/x", "data-9/x", "*.log", "Thumbs.db", "c++", " x.log", "dat.json",
    "sub/sub/x", "日本語/x.log",
)  # fmt: skip
WORDS = ("*", "**", "a", "ab", "x*", "*.log", "?b", "logs", "[ab]", "[!a]*", "sub", "{a,b}", "*b*")


def make_folder(folder: Path, lines: Sequence[str]) -> None:
    for path in FILES:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    (folder / ".datignore").write_text("\n".join(lines))


def judged(reference: Reference, note: Path, cases: list[dict[str, object]]) -> list[list[bool]]:
    note.write_text(json.dumps({"cases": cases}))
    program = reference.start("ignore.js", note)
    program.wait_for("done")
    return [said["ignored"] for said in program.said("judged")]


@pytest.mark.parametrize("hidden", [True, False])
def test_each_line_ignores_what_it_ignores_for_dat(
    reference: Reference, tmp_path: Path, hidden: bool
):
    folder = tmp_path / "shared"
    make_folder(folder, ())
    (folder / ".datignore").unlink()
    options = {"ignoreHidden": hidden}
    cases: list[dict[str, object]] = [
        {"dir": str(folder), "options": {**options, "datignore": line}, "paths": FILES}
        for line in LINES
    ]
    for line, theirs in zip(LINES, judged(reference, tmp_path / "note", cases), strict=True):
        rules = IgnoreRules([line.strip()], ignore_hidden=hidden, folder=folder)
        ours = [rules.ignores(path) for path in FILES]
        assert dict(zip(FILES, ours, strict=True)) == dict(zip(FILES, theirs, strict=True)), line


def test_all_of_them_together_in_a_file(reference: Reference, tmp_path: Path):
    folders = []
    for number in range(30):
        folder = tmp_path / str(number)
        make_folder(folder, random.Random(number).sample(LINES, 4))
        folders.append(folder)
    cases: list[dict[str, object]] = [
        {"dir": str(folder), "options": {}, "paths": FILES} for folder in folders
    ]
    for folder, theirs in zip(folders, judged(reference, tmp_path / "note", cases), strict=True):
        ours = [IgnoreRules.read(folder).ignores(path) for path in FILES]
        said = (folder / ".datignore").read_text()
        assert dict(zip(FILES, ours, strict=True)) == dict(zip(FILES, theirs, strict=True)), said


def test_patterns_made_of_parts_mean_the_same(reference: Reference, tmp_path: Path):
    names = ("a", "ab", "abc", "x.log", "logs", "sub", "b.log", "xb")
    paths = [
        "/".join(parts) for depth in (1, 2, 3) for parts in itertools.product(names, repeat=depth)
    ]
    rng = random.Random(12)
    lines = ["/".join(rng.choices(WORDS, k=rng.randint(1, 4))) for _ in range(200)]
    cases: list[dict[str, object]] = [
        {"dir": str(tmp_path / "absent"), "options": {"datignore": line}, "paths": paths}
        for line in lines
    ]
    different = []
    for line, theirs in zip(lines, judged(reference, tmp_path / "note", cases), strict=True):
        try:
            rules = IgnoreRules([line], folder=tmp_path / "absent")
        except ConfigError:
            continue
        if [rules.ignores(path) for path in paths] != theirs:
            different.append(line)
    assert different == []
