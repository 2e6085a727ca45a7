import math

import pytest

from datd.hosting.views import EntryView, PeerView
from datd.http import shapes
from datd.types import Address


@pytest.mark.parametrize("seconds", [1e300, -1e300, math.nan, math.inf, 253_402_300_800])
def test_t26_a_time_that_is_no_date_is_null(seconds):
    entry = EntryView("/a", "file", 1, 0o100644, seconds, 1, 1)
    assert shapes.entry(entry).mtime is None


def test_times_are_rfc_3339_in_utc():
    entry = EntryView("/a", "file", 1, 0o100644, 1_500_000_000.5, 1, 1)
    assert shapes.entry(entry).model_dump(mode="json")["mtime"] == "2017-07-14T02:40:00.500000Z"


def test_t47_a_name_that_no_json_can_carry_is_still_listed():
    entry = EntryView("/\ud800\x1b", "file", 1, 0o100644, 0, 1, 1)
    text = shapes.entry(entry).model_dump_json()
    assert "\x1b" not in text
    assert text.encode("utf-8")


def test_an_ipv6_peer_is_written_with_brackets():
    peer = PeerView("k" * 64, Address("2001:db8::1", 3282), "mdns", "connected")
    assert shapes.peer(peer).address == "[2001:db8::1]:3282"


def test_what_is_known_of_a_peer_is_told():
    view = PeerView(
        "k" * 64, Address("192.0.2.1", 3282), "dns", "waiting", sources=["dns", "dht"],
        first_seen=0.0, last_seen=60.0, last_success=None, tried={"utp": "no answer in time"},
    )  # fmt: skip
    told = shapes.peer(view).model_dump(mode="json")
    assert (told["sources"], told["tried"]) == (["dns", "dht"], {"utp": "no answer in time"})
    assert (told["first_seen"], told["last_seen"], told["last_success"]) == (
        "1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z", None,
    )  # fmt: skip
