"""Several sources at once: each holds a part, one of them lies."""

from pathlib import Path

from tests.helpers.daemon import running_daemon
from tests.helpers.folders import hashes_in, make_varied_folder
from tests.helpers.reference import Reference


def test_three_thirds_make_a_whole_and_who_sends_bad_blocks_is_dropped_and_named(
    reference: Reference, tmp_path: Path
):
    make_varied_folder(tmp_path / "source", small_files=30)
    store = tmp_path / "store"
    reference.make_archive(tmp_path / "source", store)
    thirds = [reference.partial_peer(store, "--hold", k, "--of", 3) for k in range(3)]
    liar, lying = reference.partial_peer(store, "--corrupt", "all")
    key = lying["key"]
    addresses = [f"127.0.0.1:{event['port']}" for _, event in [(liar, lying), *thirds]]
    with running_daemon(tmp_path / "datd") as daemon:
        # Who is slow to answer is not asked for anything while there are others: it comes first.
        daemon.datctl("add", key, "--peer", addresses[0])
        daemon.wait_until(lambda: liar.said("corrupted"), "lied to")
        for address in addresses[1:]:
            daemon.datctl("peers", "add", key, address)
        daemon.datctl("add", key, "--wait", "120")
        peers = {peer["address"]: peer for peer in daemon.ask("peers", key)}
        daemon.datctl("get", key, str(tmp_path / "copy"))
        shown = daemon.datctl("peers", key).stdout
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "source")
    assert liar.said("corrupted")
    dropped = peers[addresses[0]]
    assert dropped["dropped"] is not None
    assert "block" in dropped["dropped"]
    assert all(peers[address]["dropped"] is None for address in addresses[1:])
    assert any(addresses[0] in line and "block" in line for line in shown.splitlines())
    for third, (program, _) in enumerate(thirds):
        served = {event["block"] for event in program.said("uploaded")}
        assert served
        assert {block % 3 for block in served} == {third}


def test_each_block_is_asked_of_one_peer_only(reference: Reference, tmp_path: Path):
    make_varied_folder(tmp_path / "source", small_files=30)
    reference.make_archive(tmp_path / "source", tmp_path / "store")
    peers = [reference.partial_peer(tmp_path / "store") for _ in range(3)]
    with running_daemon(tmp_path / "datd") as daemon:
        options = [word for _, event in peers for word in ("--peer", f"127.0.0.1:{event['port']}")]
        daemon.datctl("add", peers[0][1]["key"], *options, "--wait", "120")
    served = [event["block"] for program, _ in peers for event in program.said("uploaded")]
    # Who has not answered for seconds is not waited for, and a busy machine knows such moments.
    assert len(served) - len(set(served)) <= len(set(served)) // 4
