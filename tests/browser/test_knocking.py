"""What came from the web through a gateway of this host is no program of this host."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

KNOCK = """async url => {
    try { await fetch(url, {mode: "no-cors"}); return "answered"; } catch (error) { return null; }
}"""


@pytest.fixture
def neighbour():
    """Another server of this host, such as a printer's or a router's; the paths it was asked."""
    asked: list[str] = []

    class Neighbour(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Neighbour) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_page_of_an_archive_does_not_reach_other_servers_of_this_host(page, shown, neighbour):
    url, asked = neighbour
    key = shown.make({"index.html": b"<p>x", "own.txt": b"own"})
    page.goto(f"{shown.origin(key)}/")
    assert page.evaluate("fetch('own.txt').then(answer => answer.text())") == "own"
    assert page.evaluate(KNOCK, f"{url}/reboot") is None
    assert asked == []
