from collections import Counter

from datd.hosting.showing import archive_view, peer_views
from datd.hosting.stats import Traffic
from datd.keys import Key
from datd.records import Record, Summary
from datd.swarm import peer as swarm
from datd.types import Address

KEY = Key(bytes(range(32)))


def test_a_quiet_archive_is_shown_from_its_record_alone():
    summary = Summary(title="T", version=3, blocks_have=4, blocks_total=8, files=2, size=99)
    record = Record(
        KEY, added_at=5.0, name="n", tags=["x"], summary=summary, last_peer_at=7.0,
        shortname="old.example", domain="new.example",
    )  # fmt: skip
    traffic = Traffic(100, 200)
    view = archive_view(
        record, None, traffic, state="searching", error="why", networks=["mdns"], peers_known=3,
        now=1.0,
    )  # fmt: skip
    assert view.key == KEY.hex
    assert view.discovery_key == str(KEY.discovery_key)
    assert (view.name, view.tags, view.title, view.version) == ("n", ["x"], "T", 3)
    assert (view.state, view.error, view.progress) == ("searching", "why", 0.5)
    assert (view.downloaded, view.uploaded, view.download_rate) == (100, 200, 0.0)
    assert (view.peers_connected, view.peers_known) == (0, 3)
    assert (view.added_at, view.last_peer_at) == (5.0, 7.0)
    assert (view.networks, view.shortname, view.domain) == (["mdns"], "old.example", "new.example")
    view.tags.append("y")
    assert record.tags == ["x"]


def test_times_of_peers_are_shown_in_seconds_since_1970():
    known = swarm.PeerView(
        address=Address("203.0.113.9", 3282),
        source="manual",
        state="connected",
        marks=Counter(handshakes=1),
        dropped=None,
        last_error=None,
        kind="tcp",
        initiator=True,
        connected_at=100.0,
        connection=object(),
        sources=("manual", "dns"),
        first_seen=0.0,
        last_seen=90.0,
        last_success=-5.0,
        tried={"utp": "no answer in time"},
    )
    waiting = swarm.PeerView(
        Address("203.0.113.10", 1), "mdns", "waiting", {}, "bad block 3", "gone", None, None, None,
        None,
    )  # fmt: skip
    shown, other = peer_views(KEY, [known, waiting], (), since_epoch=1.7e9)
    assert shown.connected_at == 1.7e9 + 100
    assert (shown.archive, shown.transport, shown.initiator) == (KEY.hex, "tcp", True)
    assert shown.marks == {"handshakes": 1}
    assert (shown.first_seen, shown.last_seen) == (1.7e9, 1.7e9 + 90)
    assert shown.last_success == 1.7e9 - 5
    assert (shown.sources, shown.tried) == (["manual", "dns"], {"utp": "no answer in time"})
    assert other.connected_at is other.last_seen is None
    assert other.dropped == "bad block 3"
    assert other.length is None
