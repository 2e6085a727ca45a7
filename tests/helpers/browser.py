"""Headless Chromium, as a person would have it in front of a gateway; and a film made here."""

import base64
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, sync_playwright

from datd.http.gateway.origins import label_of
from datd.keys import Key
from tests.helpers.daemon import RunningDaemon
from tests.helpers.pieces import missing

# A name that an attacker's server has made to point at this host, and one of ours.
REBOUND, SHARED = "evil.example", "shared.example"
# Newer browsers ask a person before a page reaches into the own network. What is shown without
# that is shown for all of them.
UNASKED = "--disable-features=LocalNetworkAccessChecks"
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The system's Chromium. It finds no name of the network but the two of the tests."""
    found = shutil.which("chromium")
    if found is None:
        missing("chromium is not installed")
    rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP {SHARED} 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=[*_QUIET, rules, *flags], timeout=120_000
        )
        try:
            yield browser
        finally:
            browser.close()


class Shown:
    """A daemon whose gateway a browser looks at."""

    def __init__(self, daemon: RunningDaemon) -> None:
        told = next(line for line in daemon.messages if line.startswith("gateway: "))
        self.daemon = daemon
        self.port = int(told.rpartition(":")[2].partition("/")[0])

    def make(self, files: dict[str, bytes], **settings: object) -> str:
        """A new archive with files; gives its key."""
        body = {"new": {"title": "A site"}, **settings}
        key = str(self.daemon.request("POST", "/archives", body)["key"])
        for path, content in files.items():
            self.put(key, path, content)
        return key

    def put(self, key: str, path: str, content: bytes) -> None:
        """Write a file of an archive of ours."""
        address = f"{self.daemon.api}/api/v1/archives/{key}/files/{quote(path)}"
        token = {"Authorization": f"Bearer {self.daemon.token}"}
        with urlopen(Request(address, content, token, method="PUT"), timeout=180) as answer:
            assert answer.status in (200, 201)

    def origin(self, key: str) -> str:
        """The origin of an archive."""
        return f"http://{label_of(Key.parse(key))}.localhost:{self.port}"


# ---- a film

# Key frames of VP8, 64 by 48, all red and all blue, as Chromium wrote them into WebP pictures.
_RED = "sAMAnQEqQAAwAD7RaK5SKCYkIqKoAQAaCWcA1EKAABUaYxxTBvgA/u52f+u8WlGv/8s/7yvRDvNDYYrl9WQAAA=="
_BLUE = "UAMAnQEqQAAwAD7RaK5SKCYkIqKoAQAaCWcAABPxjh8IRYAA/vDo9//+Wf/5Rf7yupz7m8HJVKQAAAAA"


def film(seconds: int, bytes_a_second: int) -> bytes:
    """A WebM film, red in its first half and blue in the second, with an index of its frames.

    Each second is a cluster with one key frame; what is missing to its size is said to be void.

    Source: RFC 8794 (EBML), RFC 9559 (Matroska).
    """
    frames = [base64.b64decode(_RED), base64.b64decode(_BLUE)]
    clusters = []
    for second in range(seconds):
        block = b"\x81\x00\x00\x80" + frames[2 * second >= seconds]
        body = _number(0xE7, second * 1000) + _element(0xA3, block)
        clusters.append(_element(0x1F43B675, body + _void(bytes_a_second - len(body) - 12)))
    head = _element(0x1549A966, _number(0x2AD7B1, 1_000_000) + _float(0x4489, seconds * 1000.0)
                    + _element(0x4D80, b"datd") + _element(0x5741, b"datd"))  # fmt: skip
    size = _number(0xB0, 64) + _number(0xBA, 48)
    track = (_number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 1) + _number(0x9C, 0)
             + _element(0x86, b"V_VP8") + _element(0xE0, size))  # fmt: skip
    head += _element(0x1654AE6B, _element(0xAE, track))
    cues = _cues(len(head) + len(_cues(0, clusters)), clusters)
    kind = _element(0x4282, b"webm")
    for name, value in (
        (0x4286, 1),
        (0x42F7, 1),
        (0x42F2, 4),
        (0x42F3, 8),
        (0x4287, 4),
        (0x4285, 2),
    ):
        kind += _number(name, value)
    return _element(0x1A45DFA3, kind) + _element(0x18538067, head + cues + b"".join(clusters))


def _cues(start: int, clusters: list[bytes]) -> bytes:
    points = b""
    for second, cluster in enumerate(clusters):
        place = _number(0xF7, 1) + _number(0xF1, start)
        points += _element(0xBB, _number(0xB3, second * 1000) + _element(0xB7, place))
        start += len(cluster)
    return _element(0x1C53BB6B, points)


def _element(name: int, body: bytes) -> bytes:
    # Sizes in eight bytes, so that they do not depend on what they say.
    length = (name.bit_length() + 7) // 8
    return name.to_bytes(length, "big") + (1 << 56 | len(body)).to_bytes(8, "big") + body


def _number(name: int, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))


def _float(name: int, value: float) -> bytes:
    return _element(name, struct.pack(">d", value))


def _void(size: int) -> bytes:
    return _element(0xEC, bytes(max(0, size - 9)))
