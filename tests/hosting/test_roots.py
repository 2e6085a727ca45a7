import pytest

from datd.errors import FolderRefused
from datd.hosting.roots import ImportRoots


@pytest.fixture
def place(tmp_path):
    for folder in ("home/site", "home/data/keys", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home/file").write_text("")
    (tmp_path / "home/out").symlink_to("../etc")
    (tmp_path / "home/in").symlink_to("site")
    (tmp_path / "home/circle").symlink_to("circle")
    (tmp_path / "way-in").symlink_to("home")
    return tmp_path


@pytest.fixture
def roots(place):
    return ImportRoots([place / "home"], data_folder=place / "home/data")


@pytest.mark.parametrize("path", ["home/site", "home/in", "home/./site/", "way-in/site"])
def test_decision_21_a_folder_below_a_root_may_be_published(place, roots, path):
    assert roots.folder(f"{place}/{path}") == place / "home/site"


@pytest.mark.parametrize("path", ["etc", "home/out", "home/../etc", "home/site/../../etc", "none",
                                  "home/out/none"])  # fmt: skip
def test_decision_21_what_lies_elsewhere_may_not(place, roots, path):
    with pytest.raises(FolderRefused, match="no folder that may be published") as refused:
        roots.folder(f"{place}/{path}")
    assert refused.value.forbidden


@pytest.mark.parametrize("path", ["home", "home/data", "home/data/keys"])
def test_t50_our_own_data_is_never_published(place, roots, path):
    with pytest.raises(FolderRefused, match="secret keys"):
        roots.folder(f"{place}/{path}")


@pytest.mark.parametrize("path", ["home/file", "home/none", "home/circle"])
def test_what_is_no_folder_is_refused(place, roots, path):
    with pytest.raises(FolderRefused):
        roots.folder(f"{place}/{path}")


@pytest.mark.parametrize("path", ["site", "", "~", "/a\0b"])
def test_only_absolute_paths_are_understood(roots, path):
    with pytest.raises(FolderRefused, match="absolute"):
        roots.folder(path)


def test_without_roots_nothing_is_published(place):
    with pytest.raises(FolderRefused, match="none"):
        ImportRoots([], data_folder=place / "data").folder(str(place / "home/site"))
