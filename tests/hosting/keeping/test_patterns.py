import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.hosting.keeping.patterns import Part, parse


def newest(*lines: str) -> Part:
    part = parse(lines).newest
    assert part is not None
    return part


@pytest.mark.parametrize(
    ("pattern", "takes", "leaves"),
    [
        ("/data/**", ["/data/a", "/data/b/c"], ["/data", "/x/data/a"]),
        ("/data", ["/data", "/data/a"], ["/x/data"]),
        ("*.csv", ["/a.csv", "/b/c.csv"], ["/a.csv.gz"]),
        ("logs/", ["/logs/x", "/a/logs/x"], ["/logs"]),
        ("a?c", ["/abc"], ["/ac"]),
        ("**/x/*.txt", ["/x/1.txt", "/a/x/1.txt"], ["/a/x/y/1.bin"]),
        ("caf\u00e9", ["/caf\u00e9"], ["/cafe"]),
        ("*", ["/anything", "/at/all"], []),
    ],
)
def test_patterns_are_those_of_a_gitignore(pattern, takes, leaves):
    part = newest(pattern)
    assert [path for path in takes if not part.matches(path)] == []
    assert [path for path in leaves if part.matches(path)] == []


def test_later_lines_take_out_again():
    part = newest("/data/**", "!/data/raw/**", "!*.tmp")
    assert part.matches("/data/a.csv")
    assert not part.matches("/data/raw/a.csv")
    assert not part.matches("/data/a.tmp")


def test_versions_stand_before_a_pattern():
    found = parse(["/a", "+5:/b", "+5-9:*.c", "+5-:/d", "+5-9:/e"])
    assert found.newest is not None
    assert [part.versions for part in found.older] == [(5, 5), (5, 9), (5, None)]
    assert found.older[1].matches("/e")
    assert not found.older[0].matches("/e")
    assert not found.empty
    assert parse([]).empty


def test_a_name_that_only_looks_like_versions_is_a_name():
    assert newest("+5").matches("/+5")
    assert newest("+x-9:y").matches("/+x-9:y")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no pattern"),
        ("   ", "no pattern"),
        ("# a remark", "no pattern"),
        ("!", "no pattern"),
        ("a\\", "no pattern"),
        ("[z-a]", "no pattern"),
        ("one\ntwo", "no pattern"),
        ("+5:", "no pattern"),
        ("+0:/a", "from 1 on"),
        ("+9-5:/a", "lower version first"),
        ("*a*a*a", "more than 2 `\\*`"),
        ("/**/a/**/b/**/c", "more than 2 `\\*\\*`"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_line_and_what_to_write(line, why):
    with pytest.raises(ValueError, match=why) as caught:
        parse(["/good", line])
    assert repr(line) in str(caught.value)


@pytest.mark.parametrize("pattern", ["*a*", "a*b", "**/a*/**/b", "/**/a*b*", "*a*b"])
def test_t27_no_name_makes_a_pattern_slow(pattern):
    part = newest(pattern)
    worst = ["a" * 255, "/".join(["a" * 255] * 15), "a/" * 2000, "a" * 60_000, "a/" * 30_000 + "b"]
    started = time.process_time()
    for path in worst:
        part.matches("/" + path)
    assert time.process_time() - started < 1


@given(st.lists(st.text(max_size=40), max_size=5), st.text(max_size=60))
def test_any_text_is_a_pattern_or_refused(lines, path):
    try:
        found = parse(lines)
    except ValueError:
        return
    for part in (found.newest, *found.older):
        assert part is None or part.matches("/" + path) in (True, False)
