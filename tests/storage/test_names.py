import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.storage.names import MAX_COMPONENT, MAX_PATH, safe_path


@pytest.mark.parametrize(
    ("name", "components"),
    [
        ("/hello.txt", ("hello.txt",)),
        ("hello.txt", ("hello.txt",)),
        ("/a/b/c", ("a", "b", "c")),
        ("/naïve café/…", ("naïve café", "…")),
        ("/dir/.dat", ("dir", ".dat")),
        ("/.data", (".data",)),
        ("/...", ("...",)),
        ("/" + "n" * 255, ("n" * 255,)),
    ],
)
def test_ordinary_names_come_apart(name: str, components: tuple[str, ...]):
    assert safe_path(name) == components


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "//a",
        "/a//b",
        "/a/",
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/../../etc/passwd",
        "/a\0b",
        "/a\nb",
        "/a\x7fb",
        "/a\x85b",
        "/a\\b",
        "..\\..\\x",
        "/" + "n" * 256,
        "/" + "é" * 128,
        "/" + "/".join(["long"] * 1000),
        "/\udcff",
        "/.dat",
        "/.dat/metadata.latest",
        "/.DAT/metadata.key",
        "/.Dat",
        "/.datd/keys",
        "/.dat./x",
        "/.dat /x",
        "/.da\u200ct/x",
        "/\uff0edat/x",
    ],
)
def test_t44_names_that_leave_the_folder_or_reach_our_files_are_refused(name: str):
    assert safe_path(name) is None


@given(st.text() | st.lists(st.sampled_from(["a", ".", "..", "", ".dat", "\0"])).map("/".join))
def test_whatever_is_let_through_stays_below_the_folder(name: str):
    components = safe_path(name)
    if components is not None:
        path = "/".join(components)
        assert path == name.removeprefix("/")
        assert len(path.encode()) <= MAX_PATH
        for component in components:
            assert component not in ("", ".", "..")
            assert "\0" not in component
            assert len(component.encode()) <= MAX_COMPONENT
        assert components[0].lower() not in (".dat", ".datd")
