import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin

import pytest
from tests.client.test_output import HOSTILE

from datd.hosting.views import EntryView
from datd.http.gateway import pages
from datd.http.gateway.pages import Folder, folder_page, front_page, link_to, message_page, visible

BASE = "http://x.localhost:3473/folder/"


class Parts(HTMLParser):
    """What a browser would make of a page: its elements, links and text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_data(self, data):
        self.text += data


def entry(name, kind="file", size=10, mtime=1.5e9):
    return EntryView(f"/folder/{name}", kind, size, 0o644, mtime, 1, 1)


def page(*entries, **fields):
    given = {
        "title": "T", "path": "/folder", "prefix": "", "query": "", "following": None,
        "version": 5, "events": None,
    }  # fmt: skip
    return folder_page(Folder(entries=entries, **{**given, **fields}))


USUAL = {tag for tag, _ in Parts(page(entry("a"))).tags}


@pytest.mark.parametrize("name", [name.replace("/", "|") for name in HOSTILE])
def test_t47_no_name_becomes_anything_but_a_name(name):
    shown = Parts(page(entry(name), title=name))
    assert {tag for tag, _ in shown.tags} == USUAL
    link = next(link for link in shown.links if link.startswith("./"))
    target = urljoin(BASE, link)
    assert target.startswith(BASE)
    assert unquote(target.removeprefix(BASE)) == name.encode("utf-8", "replace").decode()
    assert visible(name) in shown.text


@pytest.mark.parametrize("name", ["javascript:alert(1)", "//evil.example", "..", "?x", "#y", "a b"])
def test_t47_a_link_leads_into_the_folder(name):
    assert urljoin(BASE, link_to(name)).startswith(BASE) or name == ".."
    assert "<" not in link_to(name)


def test_signs_that_hide_or_turn_text_are_shown():
    assert visible("\u202egnp.exe\x00\u200b") == "\ufffdgnp.exe\ufffd\ufffd"


def test_the_policy_allows_just_this_style_and_this_script():
    whole = page(entry("a"), events="/.datd/events")
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", whole, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in pages.POLICY
    assert "unsafe" not in pages.POLICY


@pytest.mark.parametrize("text", [front_page(True), message_page("T", "X"), page(entry("a"))])
def test_a_page_loads_nothing(text):
    names = {name for _, attrs in Parts(text).tags for name in attrs}
    assert names.isdisjoint({"src", "srcset", "poster", "data", "background", "style", "onclick"})
    assert "url(" not in text
    assert "@import" not in text


def test_folders_come_first_and_show_no_size():
    links = Parts(page(entry("a"), entry("z", "directory", 0))).links
    assert links.index("./z/") < links.index("./a")


def test_links_of_an_older_version_stay_in_it():
    links = Parts(page(entry("a"), entry("d", "directory"), query="?version=5")).links
    assert {"./a?version=5", "./d/?version=5", "../?version=5", "?"} <= set(links)


def test_a_folder_with_more_entries_links_to_the_next_page():
    assert 'href="?after=a%26b" rel="next"' in page(entry("a&b"), following="a&b")
    assert "?version=5&amp;after=x" in page(entry("x"), following="x", query="?version=5")


def test_an_error_is_text():
    assert "&lt;script&gt;" in message_page("Not found", "<script>")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20, "5.0 MiB"), (2**53, "8.0 PiB")],
)
def test_sizes_are_for_people(size, text):
    assert pages.size_text(size) == text


@pytest.mark.parametrize("time", [0.0, -1e18, 1e18])
def test_times_that_are_none_are_left_out(time):
    assert "<time" not in page(entry("a", mtime=time))


def test_an_error_leads_on():
    page = message_page("T", "t", [("./?version=%22", "Up & away")])
    assert '<a href="./?version=%22">Up &amp; away</a>' in page
