"""Both generations on one link: dat 13 asks for dat.local, dat 14 for hyperswarm.local."""

import random
from collections.abc import Callable

from tests.helpers.discovery_client import running_client
from tests.helpers.lab import Lab
from tests.helpers.reference import Reference, Where

KEY = random.Random(14).randbytes(32).hex()


def test_we_find_both_and_both_find_us(reference: Reference, lan: Callable[[int], Lab]):
    lab = lan(3)
    dat13, dat14 = Where(lab, "h2"), Where(lab, "h3")
    options = ("--port", 1313, "--mdns", "--every", 1)
    old = reference.start("dns-client.js", "announce", KEY[:40], *options, where=dat13)
    new = reference.start("mdns14.js", "announce", KEY, "--port", 1414, "--again", 1, where=dat14)
    new.wait_for("ready")
    old.wait_for("done")
    with running_client(lab, "h1", "mdns", KEY, "--announce", "--port", 3282) as ours:
        ours.wait_for("peer", host="10.99.0.2", port=1313, by="10.99.0.2")
        ours.wait_for("peer", host="10.99.0.3", port=1414, by="10.99.0.3")
        old.wait_for("peer", host="10.99.0.1", port=3282)
        new.wait_for("peer", host="10.99.0.1", port=3282)
    assert not ours.said("peer", host="10.99.0.1")
    # Between themselves only dat 13 hears dat 14, whose records it reads under any domain.
    assert not new.said("peer", host="10.99.0.2")


def test_who_only_looks_finds_an_announcer_of_dat_14_and_is_not_found(
    reference: Reference, lan: Callable[[int], Lab]
):
    lab = lan(2)
    new = reference.start(
        "mdns14.js", "announce", KEY, "--port", 1414, "--again", 1, "--log", where=Where(lab, "h2")
    )
    new.wait_for("ready")
    with running_client(lab, "h1", "mdns", KEY) as ours:
        ours.wait_for("peer", host="10.99.0.2", port=1414)
        new.wait_for("query", by="10.99.0.1")
        new.wait_for("response", count=5, by="10.99.0.2")
    assert not new.said("peer", host="10.99.0.1")
