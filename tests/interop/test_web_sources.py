"""Archives on a stock web server: made by the original `dat`, or exported by us."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in, make_varied_folder
from tests.helpers.lab import Lab
from tests.helpers.lab_daemon import LabDaemon, lab_daemon
from tests.helpers.ports import free_port
from tests.helpers.reference import Reference, Where
from tests.helpers.stock_web import asked, stock_web

from datd.keys import Key

SOON = {"DATD_WEB__POLL_SECONDS": "5", "DATD_WEB__ALLOW_NETWORKS": "0.0.0.0/0"}
MEGABYTE = 2**20


def ours(folder: Path) -> dict[str, str]:
    """What lets a daemon publish folders of a test."""
    return {"DATD_IMPORT_ROOTS": str(folder)}


def copy_of(daemon: RunningDaemon, key: str, place: Path) -> dict[str, str]:
    """What the daemon has of an archive, by path."""
    daemon.datctl("get", key, str(place))
    return hashes_in(place)


def shared_on_the_web(
    reference: Reference, stack: ExitStack, folder: Path, web: Where
) -> tuple[dict[str, str], str, str]:
    """A folder of the original `dat` behind nginx: its files, its key and its address."""
    make_varied_folder(folder, small_files=20)
    source = hashes_in(folder)
    program, key = reference.dat_share(folder, where=web)
    program.stop()
    own = folder.parent / "nginx"
    return source, key, stack.enter_context(stock_web(folder, own, 80, web))


def publish_one_more(
    reference: Reference, daemon: LabDaemon, key: str, folder: Path, web: Where
) -> None:
    """A new version on the server appears here."""
    # It is looked at every few seconds: once it is shared, the new version may be here already.
    version = daemon.archive(key)["version"]
    (folder / "later.txt").write_text("published later")
    again, _ = reference.dat_share(folder, where=web)
    again.stop()
    daemon.wait_until(lambda: daemon.archive(key)["version"] > version, "updated", seconds=120)
    daemon.wait_until(lambda: daemon.whole(key), "whole again", seconds=120)


def test_what_dat_shared_comes_whole_from_a_stock_server_and_nothing_is_announced(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    lab = stack.enter_context(Lab.lan(2))
    folder = tmp_path / "site"
    web = Where(lab, "h2")
    source, key, address = shared_on_the_web(reference, stack, folder, web)
    capture = stack.enter_context(lab.capture("h1"))
    settings = tmp_path / "datd.toml"
    settings.write_text('[web]\npoll_seconds = 5\nallow_networks = ["0.0.0.0/0"]\n')
    words = (f"--dns-server={lab.ip('h2')}", "--config", str(settings))
    daemon = stack.enter_context(lab_daemon(lab, "h1", tmp_path / "datd", *words, mdns=True))
    # All networks are on; this archive uses none of them.
    daemon.add(key, networks=[], web_sources=[address])
    daemon.wait_until(lambda: daemon.whole(key), "whole", seconds=120)
    (peer,) = daemon.peers(key)
    assert (peer["source"], peer["transport"]) == ("web", "http")
    assert not peer["dropped"]

    publish_one_more(reference, daemon, key, folder, web)
    packets = [packet for packet in capture.packets() if packet.sent]
    assert packets
    assert {packet.destination_port for packet in packets if packet.protocol == "tcp"} == {80}
    name = Key.parse(key).discovery_key.raw
    said = b"".join(packet.payload for packet in packets if packet.protocol == "udp")
    assert not any(form in said for form in (name[:20], name.hex()[:40].encode()))
    assert not [packet for packet in packets if packet.destination.startswith("224.0.0.251")]
    daemon.running.datctl("get", key, str(tmp_path / "copy"))
    assert hashes_in(tmp_path / "copy") == hashes_in(folder)
    assert source.items() < hashes_in(folder).items()


def test_nothing_but_requests_to_the_server_leaves_where_all_networks_are_off(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    lab = stack.enter_context(Lab.lan(2))
    folder = tmp_path / "site"
    web = Where(lab, "h2")
    _, key, address = shared_on_the_web(reference, stack, folder, web)
    capture = stack.enter_context(lab.capture("h1"))
    settings = tmp_path / "datd.toml"
    settings.write_text(
        'discovery.networks = []\n[web]\npoll_seconds = 5\nallow_networks = ["0.0.0.0/0"]\n'
    )
    words = ("--config", str(settings))
    daemon = stack.enter_context(lab_daemon(lab, "h1", tmp_path / "datd", *words))
    daemon.add(key, web_sources=[address])
    daemon.wait_until(lambda: daemon.whole(key), "whole", seconds=120)
    publish_one_more(reference, daemon, key, folder, web)
    daemon.stop()
    packets = [packet for packet in capture.packets() if packet.sent]
    said = {(one.protocol, one.destination, one.destination_port) for one in packets}
    assert said == {("tcp", lab.ip("h2"), 80)}


def test_an_export_is_a_source_and_is_brought_up_to_date(stack: ExitStack, tmp_path: Path):
    folder, site = tmp_path / "mine", tmp_path / "site"
    make_varied_folder(folder, small_files=20)
    one = stack.enter_context(running_daemon(tmp_path / "one", environment=ours(tmp_path)))
    key = one.ask("share", str(folder))["key"]
    one.datctl("export", key, str(site), "--static", "--delete", "--yes")
    address = stack.enter_context(stock_web(site, tmp_path / "nginx", free_port()))
    two = stack.enter_context(running_daemon(tmp_path / "two", environment=SOON))
    two.datctl("add", key, "--web", address, "--network", "none", "--wait", "120")
    assert copy_of(two, key, tmp_path / "copy") == hashes_in(folder)
    assert (site / ".well-known" / "dat").read_text().startswith(f"dat://{key}")
    assert not [
        file for file in site.rglob("*") if "secret" in file.name or file.name.endswith(".ogd")
    ]

    (folder / "later.txt").write_text("published later")
    (folder / "data" / "b.bin").write_bytes(b"changed")
    one.datctl("rescan", key, "--wait")
    one.datctl("export", key, str(site), "--static", "--delete", "--yes")
    version = one.archive(key)["version"]
    two.wait_until(lambda: two.archive(key)["version"] == version, "updated", seconds=120)
    two.wait_until(lambda: two.archive(key)["state"] == "seeding", "whole", seconds=120)
    assert copy_of(two, key, tmp_path / "copy2") == hashes_in(folder)


def test_a_range_moves_little_of_a_large_file(stack: ExitStack, tmp_path: Path):
    folder, site = tmp_path / "mine", tmp_path / "site"
    folder.mkdir()
    text = "".join(f"{number:015}\n" for number in range(20 * MEGABYTE // 16))
    (folder / "large.txt").write_text(text)
    one = stack.enter_context(running_daemon(tmp_path / "one", environment=ours(tmp_path)))
    key = one.ask("share", str(folder))["key"]
    one.datctl("export", key, str(site), "--static")
    address = stack.enter_context(stock_web(site, tmp_path / "nginx", free_port()))
    two = stack.enter_context(running_daemon(tmp_path / "two", environment=SOON))
    two.datctl("add", key, "--web", address, "--network", "none", "--mode", "sparse")
    at = 15 * MEGABYTE
    part = two.datctl("cat", f"{key}/large.txt", "--range", f"{at}-{at + 999}").stdout
    assert part == text[at : at + 1000]
    lines = asked(tmp_path / "nginx")
    moved = sum(int(line.split('"')[2].split()[1]) for line in lines)
    assert moved < MEGABYTE // 4


def test_a_corrupted_byte_is_noticed_and_comes_from_the_swarm(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    folder, site = tmp_path / "theirs", tmp_path / "site"
    make_varied_folder(folder, small_files=10)
    source = hashes_in(folder)
    sharer, shared = reference.peer("share", folder, "--utp=false", "--port", free_port())
    sharer.wait_for("imported")
    key = shared["key"]
    shutil.copytree(folder, site)
    victim = max(
        (path for path in site.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    address = stack.enter_context(stock_web(site, tmp_path / "nginx", free_port()))
    daemon = stack.enter_context(running_daemon(tmp_path / "datd", environment=SOON))
    daemon.datctl("add", key, "--web", address, "--network", "none")
    daemon.wait_until(
        lambda: any(peer["dropped"] for peer in daemon.ask("peers", key)), "noticed", seconds=120
    )
    assert daemon.archive(key)["state"] != "seeding"
    daemon.datctl("peers", "add", key, f"127.0.0.1:{shared['port']}")
    daemon.wait_until(lambda: daemon.archive(key)["state"] == "seeding", "whole", seconds=120)
    assert copy_of(daemon, key, tmp_path / "copy") == source
    web = next(peer for peer in daemon.ask("peers", key) if peer["source"] == "web")
    assert victim.name in web["dropped"]


def test_an_original_clones_through_a_websocket(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 300_000)
    daemon = stack.enter_context(running_daemon(tmp_path / "datd", environment=ours(tmp_path)))
    key = daemon.ask("share", str(folder))["key"]
    address = f"{daemon.api.replace('http', 'ws')}/api/v1/archives/{key}/replicate"
    told = reference.start("websocket-peer.js", address, "--key", key, "--token", daemon.token)
    assert told.wait_for("open")["extensions"] is None
    files = told.wait_for("cloned")["files"]
    assert {path: digest for path, digest in files.items() if path != "/dat.json"} == {
        path: digest for path, digest in hashes_in(folder).items() if path != "/dat.json"
    }
    stranger = reference.start("websocket-peer.js", address, "--key", key)
    assert stranger.wait_for("refused")["status"] == 401


def test_two_daemons_replicate_through_a_websocket_alone(stack: ExitStack, tmp_path: Path):
    folder = tmp_path / "mine"
    make_varied_folder(folder, small_files=5)
    one = stack.enter_context(running_daemon(tmp_path / "one", environment=ours(tmp_path)))
    key = one.ask("share", str(folder))["key"]
    two = stack.enter_context(running_daemon(tmp_path / "two", environment=SOON))
    gateway = next(
        json.loads(line)["message"] for line in one.log if '"gateway: http' in line
    ).split()[1]
    address = f"{gateway.replace('http', 'ws').removesuffix('/KEY')}/{key}"
    two.datctl("add", key, "--web", address, "--network", "none", "--wait", "120")
    assert copy_of(two, key, tmp_path / "copy") == hashes_in(folder)
