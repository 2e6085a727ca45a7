import re
import time

import pytest

from datd.importing.globs import MAX_GLOB_SIZE, GlobError, translate


def matches(glob: str, path: str) -> bool:
    return re.compile(translate(glob), re.DOTALL).fullmatch(path) is not None


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("*.log", "x.log"),
        ("**/*.log", "x.log"),
        ("**/*.log", "a/b/x.log"),
        ("a/**", "a/b/c"),
        ("a/**/b", "a/b"),
        ("a/**/b", "a/x/y/b"),
        ("sub/*", "sub/x"),
        ("x?z", "xyz"),
        ("[a-c]x", "bx"),
        ("[!a]x", "bx"),
        ("{a,b}.txt", "b.txt"),
        ("{a,b{1..3}}.txt", "b2.txt"),
        ("@(a|b)c", "bc"),
        ("?(a)c", "c"),
        (r"\*x", "*x"),
        ("./a*", "ab"),
        (".git/*", ".git/.index"),
        ("a.b(1)*", "a.b1"),
    ],
)
def test_a_path_that_a_glob_means(glob: str, path: str):
    assert matches(glob, path)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("*.log", "sub/x.log"),
        ("*", ".hidden"),
        ("?hidden", ".hidden"),
        ("**", "a/.hidden"),
        ("**/x", ".git/x"),
        ("sub/*", "sub/logs/1.txt"),
        ("x?z", "x/z"),
        ("[!a]x", "/x"),
        ("*.LOG", "x.log"),
        ("/a", "a"),
        ("a/", "a"),
        (r"\*x", "ax"),
        ("a**b", "a/b"),
    ],
)
def test_a_path_that_a_glob_does_not_mean(glob: str, path: str):
    assert not matches(glob, path)


@pytest.mark.parametrize(
    "glob",
    [
        "!(a)",
        "x*(a)",
        "+(a|b)",
        "[[:alpha:]]x",
        "{1..9999}",
        "{a,b}" * 9,
        "x" * (MAX_GLOB_SIZE + 1),
    ],
)
def test_a_glob_that_only_the_original_understands_is_refused(glob: str):
    with pytest.raises(GlobError):
        translate(glob)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("*a" * 60 + "b", "a" * 4000),
        ("**/" + "*a*" * 20 + "b", "a" * 250 + "/" + "a" * 250),
        ("**/a/" * 30 + "b", "a/" * 1500 + "c"),
        ("x/**/a/**/a/**/a/**/b", "x/" + "a/" * 1000 + "c"),
        ("**/.a/" * 20 + "b", ".a/" * 1000 + "c"),
    ],
)
def test_no_line_takes_long_over_any_path(glob: str, path: str):
    began = time.process_time()
    assert not matches(glob, path)
    assert time.process_time() - began < 2
