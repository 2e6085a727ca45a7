import os

import pytest

from datd.errors import FolderRefused
from datd.hosting.own.roots import ImportRoots


@pytest.fixture
def place(tmp_path):
    for folder in ("home/site", "home/data/keys", "home/.dat/secret_keys/ab", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home/file").write_text("")
    (tmp_path / "home/out").symlink_to("../etc")
    (tmp_path / "home/in").symlink_to("site")
    (tmp_path / "home/circle").symlink_to("circle")
    (tmp_path / "way-in").symlink_to("home")
    return tmp_path


@pytest.fixture
def roots(place):
    return ImportRoots(
        [place / "home"],
        data_folder=place / "home/data",
        owner_keys=place / "home/.dat/secret_keys",
    )


@pytest.mark.parametrize("path", ["home/site", "home/in", "home/./site/", "way-in/site"])
def test_decision_21_a_folder_below_a_root_may_be_published(place, roots, path):
    assert roots.folder(f"{place}/{path}") == place / "home/site"


@pytest.mark.parametrize("path", ["etc", "home/out", "home/../etc", "home/site/../../etc", "none",
                                  "home/out/none"])  # fmt: skip
def test_decision_21_what_lies_elsewhere_may_not(place, roots, path):
    with pytest.raises(FolderRefused, match="no folder that may be published") as refused:
        roots.folder(f"{place}/{path}")
    assert refused.value.forbidden


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("home/file", True), ("home/site/any", True), ("etc/passwd", False),
     ("home/data/keys/ab", False), ("home/.dat/secret_keys/ab/cd", False),
     ("home/../etc/passwd", False)],
)  # fmt: skip
def test_t50_a_link_may_lead_to_files_below_a_root_and_to_no_others(place, roots, path, allowed):
    assert roots.allow((place / path).resolve()) is allowed


@pytest.mark.parametrize(
    "path",
    ["home", "home/data", "home/data/keys", "home/.dat", "home/.dat/secret_keys/ab"],
)
def test_t50_our_own_data_is_never_published(place, roots, path):
    with pytest.raises(FolderRefused, match="secret keys"):
        roots.folder(f"{place}/{path}")


@pytest.mark.parametrize("path", ["home/file", "home/none", "home/circle"])
def test_what_is_no_folder_is_refused(place, roots, path):
    with pytest.raises(FolderRefused):
        roots.folder(f"{place}/{path}")


def test_a_name_that_no_text_can_hold_is_refused(place, roots):
    os.mkdir(os.fsencode(place / "home") + b"/\xff")
    os.symlink(b"\xff", place / "home/odd")
    with pytest.raises(FolderRefused, match="no UTF-8"):
        roots.folder(f"{place}/home/odd")


@pytest.mark.parametrize("path", ["site", "", "~", "/a\0b"])
def test_only_absolute_paths_are_understood(roots, path):
    with pytest.raises(FolderRefused, match="absolute"):
        roots.folder(path)


def test_without_roots_nothing_is_published(place):
    with pytest.raises(FolderRefused, match="none"):
        ImportRoots([], data_folder=place / "data").folder(str(place / "home/site"))
