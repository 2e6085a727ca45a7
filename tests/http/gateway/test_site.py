import pytest

from datd.archive.manifest import Manifest
from datd.errors import EntryNotFound
from datd.http.gateway.site import View

FILES = [
    "index.html", "page.html", "both/index.html", "both.html", "plain/x.txt", "dist/index.html",
    "dist/lost.html", "html.html/x",
]  # fmt: skip


async def find(gateway, path, *, is_folder=False, **manifest):
    key = await gateway.make(dict.fromkeys(FILES, "x"))
    archive = gateway.archive(key)
    view = View(archive, len(FILES), Manifest(**manifest), wait=5)
    found = await view.find(path, is_folder=is_folder)
    return found.kind, found.path


@pytest.mark.parametrize(
    ("path", "is_folder", "found"),
    [
        ("", True, ("file", "/index.html")),
        ("/page", False, ("file", "/page.html")),
        ("/page.html", False, ("file", "/page.html")),
        ("/both", False, ("file", "/both.html")),
        ("/both", True, ("file", "/both/index.html")),
        ("/plain", False, ("redirect", "/plain")),
        ("/plain", True, ("folder", "/plain")),
        ("/plain/x.txt", False, ("file", "/plain/x.txt")),
        ("/html.html", False, ("redirect", "/html.html")),
    ],
)
async def test_the_order_is_file_folder_page(gateway, path, is_folder, found):
    assert await find(gateway, path, is_folder=is_folder) == found


@pytest.mark.parametrize(
    ("path", "is_folder"), [("/page", True), ("/no", False), ("/plain/x.txt", True)]
)
async def test_nothing_else_is_found(gateway, path, is_folder):
    with pytest.raises(EntryNotFound):
        await find(gateway, path, is_folder=is_folder)


async def test_the_authors_root_and_page_for_what_is_not_there(gateway):
    fields = {"web_root": "dist", "fallback_page": "lost.html"}
    assert await find(gateway, "", is_folder=True, **fields) == ("file", "/dist/index.html")
    assert await find(gateway, "/page", **fields) == ("fallback", "/dist/lost.html")


async def test_a_root_that_is_not_there_shows_nothing(gateway):
    with pytest.raises(EntryNotFound):
        await find(gateway, "", is_folder=True, web_root="build")
