"""What a person sees: listings, pages that follow their archive, and what comes from the cache."""

import re

import pytest

FETCHED = """async url => {
    const before = performance.getEntriesByName(new URL(url, location.href).href).length;
    const answer = await fetch(url);
    await answer.arrayBuffer();
    // The browser notes what it fetched a moment after the last byte was given out.
    const noted = () => performance.getEntriesByName(answer.url);
    while (noted().length === before) await new Promise(done => setTimeout(done, 10));
    const seen = noted().at(-1);
    return [seen.transferSize, seen.decodedBodySize];
}"""
SIZE = 200_000


@pytest.fixture
def heard(page):
    """Every request of the page, and every complaint of the browser."""
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return requests, complaints


def test_a_listing_renders_and_asks_nobody_else(page, shown, heard):
    name = "<img src=x onerror=alert(1)>.txt"
    key = shown.make({"folder/a.txt": b"A", f"folder/{name}": b"B", "b.txt": b"12345"})
    page.goto(f"http://localhost:{shown.port}/{key}/")
    assert page.url == f"{shown.origin(key)}/"
    page.click("text=folder/")
    page.wait_for_url("**/folder/")
    assert page.locator("tbody a").all_inner_texts() == ["../", name, "a.txt"]
    assert page.locator("img").count() == 0
    assert page.locator("h1 a").all_inner_texts() == ["A site", "folder"]
    # The one style sheet holds: sizes stand to the right.
    assert page.evaluate("getComputedStyle(document.querySelector('td.n')).textAlign") == "right"
    requests, complaints = heard
    own = (f"{shown.origin(key)}/", f"http://localhost:{shown.port}/{key}/")
    assert not [url for url in requests if not url.startswith(own)]
    assert complaints == []
    page.click(f"text={name}")
    page.wait_for_url("**.txt")
    assert page.inner_text("body") == "B"


def test_a_listing_shows_any_version_that_is_named(page, shown):
    key = shown.make({"a.txt": b"A", "b.txt": b"B"})
    page.goto(f"{shown.origin(key)}/")
    page.fill("input[name=version]", "2")
    page.click("button")
    page.wait_for_url("**/?version=2")
    assert page.locator("tbody a").all_inner_texts() == ["a.txt", "dat.json"]
    page.click("text=the newest version")
    page.wait_for_selector("text=b.txt")


def test_an_error_is_a_page_that_says_what_to_do(page, shown):
    page.goto(f"http://localhost:{shown.port}/{'ab' * 32}/")
    assert f"datctl add dat://{'ab' * 32}" in page.inner_text("main")
    assert page.title() == "No such archive"


def test_the_front_page_opens_a_link(page, shown):
    key = shown.make({"index.html": b"<title>found</title>"})
    page.goto(f"http://localhost:{shown.port}/")
    page.fill("input", f"dat://{key}/index.html")
    page.click("button")
    page.wait_for_url(f"{shown.origin(key)}/index.html")
    assert page.title() == "found"


def test_a_listing_follows_its_archive(page, shown):
    key = shown.make({"a.txt": b"A"})
    page.goto(f"{shown.origin(key)}/")
    shown.put(key, "new.txt", b"N")
    page.wait_for_selector("text=new.txt")


def test_a_page_follows_its_archive_if_its_address_says_so(page, shown):
    key = shown.make({"index.html": b"<title>t</title><p>one"})
    page.goto(f"{shown.origin(key)}/")
    assert "datd" not in page.content()
    page.goto(f"{shown.origin(key)}/?live")
    shown.put(key, "index.html", b"<title>t</title><p>two")
    page.wait_for_selector("text=two")


def test_an_older_version_stays_as_it_is_and_within_itself(page, shown):
    key = shown.make({"index.html": b"<a href=next.html>on</a>", "next.html": b"<p>one"})
    shown.put(key, "next.html", b"<p>two")
    page.goto(f"http://localhost:{shown.port}/{key}+3/")
    assert re.match(r"http://[a-z2-7]{52}-3\.localhost:", page.url)
    page.click("text=on")
    page.wait_for_url("**/next.html")
    assert page.inner_text("body") == "one"


def test_what_never_changes_comes_from_the_cache_and_the_rest_is_asked_for(page, shown):
    key = shown.make({"index.html": b"<p>x", "big.bin": bytes(SIZE)})
    page.goto(f"{shown.origin(key)}/")
    first, again = (page.evaluate(FETCHED, "big.bin?version=3") for _ in range(2))
    assert first[0] > SIZE
    assert again == [0, SIZE]
    first, again = (page.evaluate(FETCHED, "big.bin") for _ in range(2))
    assert first[0] > SIZE
    # A 304: some headers, and no byte of the file.
    assert 0 < again[0] < 2_000
    assert again[1] == SIZE
    shown.put(key, "big.bin", bytes(SIZE + 1))
    assert page.evaluate(FETCHED, "big.bin")[1] == SIZE + 1
