"""A Mainline DHT node of libtorrent, with the switches and lines of reference/dht-node.js.

It talks to nodes of one machine or one lab only: its limits for the public network are off.
"""

import argparse
import importlib
import json
import signal
import sys
import time
from typing import Any

lt: Any = importlib.import_module("libtorrent")

_IMPLIED_PORT = 2  # dht::announce_flags


def say(event: str, **fields: object) -> None:
    """Tell what happened, in one line."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def settings(host: str, port: int, bootstrap: list[str]) -> dict[str, object]:
    """Everything but the DHT is off; so are rules that forbid many nodes at one address."""
    categories = lt.alert.category_t
    return {
        "listen_interfaces": f"{host}:{port}",
        "dht_bootstrap_nodes": ",".join(bootstrap),
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_prefer_verified_node_ids": False,
        "dht_ignore_dark_internet": False,
        "dht_upload_rate_limit": 10_000_000,
        "dht_block_ratelimit": 1_000_000,
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "alert_mask": categories.dht_notification
        | categories.dht_operation_notification
        | categories.status_notification
        | categories.error_notification,
    }


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6881)
    parser.add_argument("--bootstrap", action="append", default=[])
    parser.add_argument("--announce", help="a name, 40 hex digits")
    parser.add_argument("--as", dest="port_announced", type=int, default=0, help="0: implied")
    parser.add_argument("--lookup", help="a name, 40 hex digits")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    session = lt.session(settings(given.host, given.port, given.bootstrap))
    told: set[tuple[str, int]] = set()
    wanted = lt.sha1_hash(bytes.fromhex(given.lookup)) if given.lookup else None
    announced = lt.sha1_hash(bytes.fromhex(given.announce)) if given.announce else None
    again = time.monotonic() + 1
    while True:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.listen_succeeded_alert):
                if alert.socket_type == lt.socket_type_t.udp:
                    say("listening", port=alert.port)
            elif isinstance(alert, lt.dht_bootstrap_alert):
                say("ready")
                again = 0.0
            elif isinstance(alert, lt.dht_get_peers_reply_alert):
                for host, port in set(alert.peers()) - told:
                    told.add((host, port))
                    say("peer", host=host, port=port)
            elif isinstance(alert, lt.dht_announce_alert):
                say("announced-here", host=str(alert.ip), port=alert.port)
        if time.monotonic() >= again:
            again = time.monotonic() + 2
            if announced is not None:
                implied = 0 if given.port_announced else _IMPLIED_PORT
                session.dht_announce(announced, given.port_announced, implied)
            if wanted is not None:
                session.dht_get_peers(wanted)


if __name__ == "__main__":
    main()
