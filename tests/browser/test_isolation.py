"""A page of one archive tries to reach another archive, and the API (T-39, T-40, T-46)."""

import pytest
from tests.helpers.browser import REBOUND, SHARED, UNASKED, chromium

SECRET = "what only the other archive says"
# What a page of the archive X is: it comes from strangers, and does what it can.
X = {
    "index.html": b"<!doctype html><title>x</title><p>x",
    "worker.js": b"",
    "own.txt": b"own",
    "own.js": b"window.own = 1",
    "scripted.html": b"<title>not run</title><img src=own.svg><script>document.title = 1</script>",
    "own.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>',
}
Y = {
    "index.html": f"<!doctype html><title>{SECRET}</title><p>{SECRET}".encode(),
    "secret.txt": SECRET.encode(),
    "data.js": b"window.stolen = 1",
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>',
    "style.css": b"p { width: 77px }",
}
# Each gives what it could read, or null.
READ = """async url => {
    for (const mode of ["cors", "no-cors"])
        for (const credentials of ["include", "omit"])
            try {
                const text = await (await fetch(url, {mode, credentials})).text();
                if (text) return text;
            } catch (error) {}
    return null;
}"""
FRAME = """url => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.onload = () => {
        try { done(frame.contentDocument.body.innerText || null); } catch (error) { done(null); }
    };
    frame.src = url;
    document.body.append(frame);
    setTimeout(() => done(null), 3000);
})"""
LOAD = """([tag, url]) => new Promise(done => {
    const element = document.createElement(tag);
    if (tag === "link") element.rel = "stylesheet";
    element.onload = () => done("loaded " + (element.width || window.stolen || ""));
    element.onerror = () => done(null);
    element[tag === "link" ? "href" : "src"] = url;
    document.body.append(element);
})"""
OPEN = """url => new Promise(done => {
    const other = window.open(url);
    setTimeout(() => {
        try { done(other.document.body.innerText || null); } catch (error) { done(null); }
    }, 1500);
})"""
WORKER = """async ([script, scope]) => {
    try { return (await navigator.serviceWorker.register(script, {scope})).scope; }
    catch (error) { return null; }
}"""
LISTEN = """([kind, url]) => new Promise(done => {
    const source = new window[kind](url);
    source.onopen = () => done("open");
    source.onmessage = event => done(event.data);
    source.onerror = () => done(null);
    setTimeout(() => done(null), 3000);
})"""
WRITE = """async ([url, method, type, body]) => {
    try {
        const headers = type ? {"Content-Type": type} : {};
        await fetch(url, {method, headers, body, mode: type === "text/plain" ? "no-cors" : "cors"});
    } catch (error) {}
}"""
FORM = """([url, type, value]) => new Promise(done => {
    const form = document.createElement("form");
    const field = document.createElement("input");
    const frame = document.createElement("iframe");
    Object.assign(field, {name: value, value: ""});
    Object.assign(frame, {name: "target", onload: () => setTimeout(() => done(), 200)});
    Object.assign(form, {method: "post", action: url, enctype: type, target: "target"});
    form.append(field);
    document.body.append(frame, form);
    form.submit();
    setTimeout(() => done(), 2000);
})"""


@pytest.fixture(scope="module")
def browser():
    with chromium(UNASKED) as running:
        yield running


@pytest.fixture(scope="module")
def archives(shown):
    made = shown.make(X, name="x"), shown.make(Y, name="y")

    def counted():  # which goes on in the background
        return all(state == "seeding" for _, state, *_ in seen(shown))

    shown.daemon.wait_until(counted, "all counted")
    return made


@pytest.fixture
def attacker(page, shown, archives):
    page.goto(f"{shown.origin(archives[0])}/")
    return page


def addresses(shown, key, path):
    """Every address under which a file can be had."""
    port = shown.port
    return [
        f"{shown.origin(key)}/{path}",
        f"http://localhost:{port}/{key}/{path}",
        f"http://127.0.0.1:{port}/{key}/{path}",
        f"http://127.0.0.1:{port}/gateway/{key}/{path}",
        f"http://localhost:{port}/y/{path}",
        f"http://{REBOUND}:{port}/{key}/{path}",
    ]


def apis(shown):
    """Every address of the API."""
    port = shown.daemon.api.rpartition(":")[2]
    own = shown.origin(shown.daemon.request("GET", "/archives")["archives"][0]["key"])
    hosts = ["127.0.0.1", "localhost", own.removeprefix("http://").partition(":")[0], REBOUND]
    return [f"http://{host}:{port}" for host in hosts]


def seen(shown):
    """What no page may change."""
    listed = shown.daemon.request("GET", "/archives")["archives"]
    return sorted((one["key"], one["state"], one["name"], one["version"]) for one in listed)


def test_a_page_reads_its_own_archive(attacker):
    assert attacker.evaluate(READ, "own.txt") == "own"
    assert attacker.evaluate(LOAD, ["script", "own.js"]).startswith("loaded")
    scope = attacker.evaluate(WORKER, ["/worker.js", "/"])
    assert scope == attacker.url


def test_t46_a_page_cannot_read_another_archive(attacker, shown, archives):
    for url in addresses(shown, archives[1], "secret.txt"):
        assert attacker.evaluate(READ, url) is None, url


@pytest.mark.parametrize(
    ("tag", "file"), [("script", "data.js"), ("img", "picture.svg"), ("link", "style.css")]
)
def test_t46_a_page_cannot_show_or_run_what_lies_in_another_archive(
    attacker, shown, archives, tag, file
):
    for url in addresses(shown, archives[1], file):
        assert attacker.evaluate(LOAD, [tag, url]) is None, url


def test_t46_a_page_cannot_look_into_a_frame_or_window_of_another_archive(
    attacker, shown, archives
):
    for url in addresses(shown, archives[1], "index.html")[:3]:
        assert attacker.evaluate(FRAME, url) is None, url
        assert attacker.evaluate(OPEN, url) is None, url
    # What is shown there is what a person would see who followed a link.
    windows = [window for window in attacker.context.pages if window is not attacker]
    for window in windows:
        window.wait_for_url(f"{shown.origin(archives[1])}/**")
    assert {window.title() for window in windows} == {SECRET}
    assert all(window.url.startswith(shown.origin(archives[1])) for window in windows)
    assert all(window.evaluate("window.opener") is None for window in windows)


def test_t46_a_page_cannot_make_one_origin_of_two(attacker):
    grown = "try { document.domain = 'localhost' } catch (error) {} document.domain"
    assert attacker.evaluate(grown).endswith(".localhost")


def test_t46_a_page_cannot_put_a_service_worker_before_another_archive(attacker, shown, archives):
    other = shown.origin(archives[1])
    shared = f"http://localhost:{shown.port}/{archives[0]}/"
    for script, scope in (
        ("/worker.js", f"{other}/"), (f"{other}/data.js", "/"), (f"{shared}worker.js", shared),
    ):  # fmt: skip
        assert attacker.evaluate(WORKER, [script, scope]) is None


def test_t46_a_page_hears_nothing_of_another_archive(attacker, shown, archives):
    for url in addresses(shown, archives[1], ".datd/events?from=0")[:3]:
        assert attacker.evaluate(LISTEN, ["EventSource", url]) is None, url


def test_t46_where_archives_share_an_origin_a_page_has_neither_script_nor_origin(
    page, shown, archives
):
    page.goto(f"http://{SHARED}:{shown.port}/{archives[0]}/scripted.html")
    assert page.evaluate("window.origin") == "null"
    assert page.title() == "not run"
    assert page.evaluate("document.images[0].naturalWidth") == 7


@pytest.mark.parametrize("path", ["/api/v1/archives", "/api/v1/archives/y/files/secret.txt"])
def test_t39_t41_a_page_cannot_read_the_api(attacker, shown, path):
    for api in apis(shown):
        assert attacker.evaluate(READ, api + path) is None, api
        assert attacker.evaluate(LISTEN, ["EventSource", f"{api}/api/v1/events"]) is None
    for api in apis(shown):
        socket = f"{api.replace('http', 'ws')}/api/v1/archives/y/replicate"
        assert attacker.evaluate(LISTEN, ["WebSocket", socket]) is None


def test_t40_a_page_cannot_change_anything_through_the_api(attacker, shown):
    before = seen(shown)
    for api in apis(shown):
        archives = f"{api}/api/v1/archives"
        for url, method, body in (
            (archives, "POST", '{"new": {"title": "evil"}}'),
            (f"{archives}/y/pause", "POST", "{}"),
            (f"{archives}/y", "PATCH", '{"name": "evil"}'),
            (f"{archives}/y", "DELETE", None),
            (f"{archives}/y/files/evil.txt", "PUT", "evil"),
        ):
            for kind in ("application/json", "text/plain", None):
                attacker.evaluate(WRITE, [url, method, kind, body])
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            attacker.evaluate(FORM, [archives, kind, '{"new": {"title": "evil"}, "x": "'])
    assert seen(shown) == before


@pytest.mark.parametrize("target", ["gateway", "api"])
def test_t39_a_name_that_was_made_to_point_at_us_gets_nothing(page, shown, archives, target):
    """DNS rebinding: the page came from the attacker's server, then its name became ours."""
    port = shown.port if target == "gateway" else int(shown.daemon.api.rpartition(":")[2])
    page.route(
        f"http://{REBOUND}:{port}/attack",
        lambda route: route.fulfill(body="<p>attack", content_type="text/html"),
    )
    before = seen(shown)
    page.goto(f"http://{REBOUND}:{port}/attack")
    for path in (f"/{archives[1]}/secret.txt", "/y/secret.txt", "/api/v1/archives", "/"):
        text = page.evaluate(READ, path)
        assert text is not None
        assert "wrong_host" in text
        assert SECRET not in text
        assert archives[1] not in text
    page.evaluate(WRITE, ["/api/v1/archives/y", "DELETE", None, None])
    assert seen(shown) == before


def test_a_site_of_the_web_cannot_read_an_archive(page, shown, archives):
    page.route(
        "http://site.example/", lambda route: route.fulfill(body="<p>", content_type="text/html")
    )
    page.goto("http://site.example/")
    for url in addresses(shown, archives[1], "secret.txt"):
        assert page.evaluate(READ, url) is None, url
    assert page.evaluate(LOAD, ["script", addresses(shown, archives[1], "data.js")[0]]) is None
