import os
from pathlib import Path

import pytest

from datd.errors import ConfigError
from datd.importing.ignore import MAX_IGNORE_FILE, IgnoreRules


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as in the table of archives.md section 10."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "sub" / "logs").mkdir(parents=True)
    return tmp_path


def ignored(folder: Path, lines: str, path: str) -> bool:
    (folder / ".datignore").write_text(lines)
    return IgnoreRules.read(folder).ignores(path)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*.log", "x.log"),
        ("**/*.log", "x.log"),
        ("**/*.log", "sub/x.log"),
        ("secret.txt", "secret.txt"),
        ("logs", "logs/1.txt"),
        ("logs", "sub/logs/1.txt"),
        ("logs", "logs/deep/1.txt"),
        ("logs/", "logs/1.txt"),
        ("logs/", "sub/logs/1.txt"),
        ("sub/logs", "logs/1.txt"),
        ("sub/*", "sub/x.log"),
        ("# text", "# text"),
        ("foo (1).txt", "foo (1).txt"),
    ],
)
def test_a_line_ignores(folder: Path, line: str, path: str):
    assert ignored(folder, line, path)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*.log", "sub/x.log"),
        ("secret.txt", "sub/secret.txt"),
        ("/secret.txt", "secret.txt"),
        ("/logs", "logs/1.txt"),
        ("sub/*", "sub/logs/1.txt"),
        ("# text", "text"),
        ("absent", "absent/1.txt"),
    ],
)
def test_a_line_does_not_ignore(folder: Path, line: str, path: str):
    assert not ignored(folder, line, path)


def test_a_line_with_an_exclamation_mark_wins_wherever_it_stands(folder: Path):
    for lines in ("!keep.log\n*.log\n", "*.log\n!keep.log\n"):
        assert not ignored(folder, lines, "keep.log")
        assert ignored(folder, lines, "other.log")


def test_hidden_files_are_left_out_unless_asked_for():
    for path in (".env", ".git/config", "sub/.cache/x"):
        assert IgnoreRules().ignores(path)
        assert not IgnoreRules(ignore_hidden=False).ignores(path)


@pytest.mark.parametrize("path", [".well-known/dat", "sub/.well-known/dat", "a/b/.well-known/dat"])
def test_the_name_of_an_archive_is_never_ignored(path: str):
    assert not IgnoreRules(["**", "*"]).ignores(path)
    assert IgnoreRules().ignores(".well-known/other")


@pytest.mark.parametrize("path", [".dat", ".dat/metadata.secret_key", ".dat/a/b"])
def test_no_rule_brings_back_the_files_of_the_archive_itself(path: str):
    rules = IgnoreRules(["!.dat/**", "!.dat/metadata.secret_key", "!.dat"], ignore_hidden=False)
    assert rules.ignores(path)
    assert rules.prunes(path)


def test_only_the_topmost_folder_of_that_name_is_the_archive():
    assert not IgnoreRules(ignore_hidden=False).ignores("sub/.dat/x")
    assert not IgnoreRules(ignore_hidden=False).ignores(".database")


def test_the_settings_of_a_desktop_are_ignored_anywhere_and_other_litter_is_not():
    rules = IgnoreRules(ignore_hidden=False)
    assert rules.ignores(".DS_Store")
    assert rules.ignores("a/b/.DS_Store")
    for path in ("Thumbs.db", "node_modules/x.js", "x.log"):
        assert not rules.ignores(path)


def test_lines_are_not_trimmed_but_the_text_is(folder: Path):
    assert ignored(folder, "\ufeff\n  *.log\r\n\r\n a.txt\n b.txt  ", " a.txt")
    assert not ignored(folder, "x\n a.txt\ny", "a.txt")
    assert ignored(folder, "  *.log\nb.txt  ", "b.txt")
    assert ignored(folder, "  *.log\nb.txt", "x.log")


def test_what_cannot_be_understood_is_named_and_nothing_is_published(folder: Path):
    (folder / ".datignore").write_text("*.log\nall-!(public)\n")
    with pytest.raises(ConfigError, match=r"rule 2 .*public"):
        IgnoreRules.read(folder)


def test_rules_that_cannot_be_read_stop_the_import(folder: Path):
    rules = folder / ".datignore"
    os.mkfifo(rules)
    with pytest.raises(ConfigError, match="is no file"):
        IgnoreRules.read(folder)
    rules.unlink()
    rules.write_bytes(b"a\n" * MAX_IGNORE_FILE)
    with pytest.raises(ConfigError, match="bytes of rules"):
        IgnoreRules.read(folder)


def test_a_folder_without_rules_has_those_of_dat(folder: Path):
    rules = IgnoreRules.read(folder)
    assert rules.ignores(".git/config")
    assert not rules.ignores("a.txt")


def test_hidden_folders_are_not_even_entered():
    rules = IgnoreRules(["!keep/**", "!*.log"])
    assert rules.prunes(".git")
    assert rules.prunes("a/.git")
    assert not rules.prunes("a")
    assert not rules.prunes("a/.well-known")
    assert not IgnoreRules(["!.git/config"]).prunes(".git")
    assert not IgnoreRules(ignore_hidden=False).prunes(".git")


def test_a_folder_whose_name_looks_like_a_pattern_is_still_itself(tmp_path: Path):
    (tmp_path / "old [2019]").mkdir()
    rules = IgnoreRules(["old [2019]"], folder=tmp_path)
    assert rules.ignores("old [2019]/x")
