import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.http.files import content_type, decode_path
from datd.http.problems import Problem


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/index.HTML", "text/html; charset=utf-8"),
        ("/a.json", "application/json"),
        ("/a.png", "image/png"),
        ("/a.tar.gz", "application/gzip"),
        ("/a.svg.gz", "application/gzip"),
        ("/README.md", "text/markdown; charset=utf-8"),
        ("/README", "application/octet-stream"),
        ("/a.\x1b[2J", "application/octet-stream"),
        ("/x.txt\r\nSet-Cookie: a", "application/octet-stream"),
    ],
)
def test_the_ending_of_a_name_gives_the_type(name, kind):
    assert content_type(name) == kind


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("", ""),
        ("a/b.txt", "a/b.txt"),
        ("a%20b/%C3%A4", "a b/ä"),
        ("a%2Fb", "a/b"),
        ("a/", "a"),
        ("a\\b", "a\\b"),
        ("...", "..."),
        ("a%25b", "a%b"),
    ],
)
def test_paths_are_decoded_once(raw, path):
    assert decode_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        "..",
        "/a",
        "a//",
        "a/../b",
        "%2e%2e/etc/passwd",
        "a%2f..%2fb",
        "./a",
        "a//b",
        "%00",
        "a%00.txt",
        "%ff",
        "%ff%zz",
        "%",
        "%4",
        "%c0%ae%c0%ae",
    ],
)
def test_t45_paths_that_no_entry_has_are_refused(raw):
    with pytest.raises(Problem) as caught:
        decode_path(raw)
    assert caught.value.status == 400


@given(st.text(max_size=40) | st.from_regex(r"(/|%[0-9a-f]{0,2}|\.|\\){0,12}"))
def test_t45_any_path_is_decoded_or_refused(raw):
    try:
        path = decode_path(raw)
    except Problem:
        return
    assert ".." not in path.split("/")
    assert "\0" not in path
