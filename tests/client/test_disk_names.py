import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datctl.disk_names import UnsafeName, disk_parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a/b.txt", ("a", "b.txt")),
        ("a", ("a",)),
        ("/a/.dat/x", ("a", ".dat", "x")),
        ("/.data", (".data",)),
        ("/...", ("...",)),
        ("/a\\b", ("a\\b",)),
        ("/" + "é" * 127, ("é" * 127,)),
    ],
)
def test_usual_names_become_files(path, parts):
    assert disk_parts(path) == parts


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//etc/passwd",
        "/..",
        "/a/../../b",
        "/./a",
        "/a//b",
        "/a/",
        "/.datctl-follow.json",
        "/a/.DATCTL-0123",
        "/a\x00b",
        "/a\nb",
        "/\x1b[2J",
        "/\x7f",
        "/\x9b",
        "/\ud800",
        "/" + "a" * 256,
        "/" + "é" * 128,
        "/" + "a/" * 2048 + "a",
        "/.dat",
        "/.dat/secret_keys/aa",
        "/.DAT/x",
        "/.Datd/x",
        "/.d\u200cat/x",
        "/.dat./x",
        "/.dat /x",
        "/\uff0edat/x",
    ],
)
def test_names_that_must_not_become_files(path):
    with pytest.raises(UnsafeName):
        disk_parts(path)


@given(st.text())
def test_any_name_stays_below_its_folder(path):
    try:
        parts = disk_parts(path)
    except UnsafeName:
        return
    joined = os.path.normpath(os.path.join("/dest", *parts))
    assert joined.startswith("/dest/")
    assert joined == "/dest/" + "/".join(parts)
