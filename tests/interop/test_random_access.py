"""Any range of any file at any version of an archive never seen before: only its blocks travel."""

import random
import time
import urllib.request
from pathlib import Path

from tests.helpers.counting_wire import Wire, counting_wire
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.feeds import PAIR
from tests.helpers.reference import Reference

from datd import crypto
from datd.archive.entries import HYPERDRIVE, Header, Stat, encode_entry
from datd.feed.feed import Feed
from datd.hosting.descriptors import Descriptors
from datd.storage import layout

# A quarter of the paper's example, in the same proportions: 30 to 40 MB of a table of 100 MB.
MB = 250_000
SIZE, START, STOP = 100 * MB, 30 * MB, 40 * MB
# Two hundredths, and the rest of the first and the last block. Of 100 MB that makes 10.33 MB.
MOST = (STOP - START) * 1.02 + 2 * 65536


def table(size: int, seed: int) -> bytes:
    """A table as it is: lines of numbers."""
    chance = random.Random(seed)
    lines = b"".join(b"%d,%.6f,%d\n" % (n, chance.random(), n * n) for n in range(4096))
    return (lines * (size // len(lines) + 1))[:size]


def cut(data: bytes, seed: int) -> list[bytes]:
    """Blocks of 4 to 64 KiB, as a program makes that cuts by content."""
    chance, blocks, at = random.Random(seed), [], 0
    while at < len(data):
        size = min(65536, max(4096, int(chance.expovariate(1 / 16384))))
        blocks.append(data[at : at + size])
        at += size
    return blocks


def own_archive(store: Path, versions: list[list[bytes]], others: int) -> str:
    """An archive of ours whose one table was written again and again, after other files."""
    pool = Descriptors()
    files = layout.flat(store, pool)
    pair = crypto.content_key_pair(PAIR.secret)
    content = Feed.create(files.content, pair, keep_secret=False)
    metadata = Feed.create(files.metadata, PAIR)
    entries = [Header(HYPERDRIVE, pair.public).encode()]
    for seq in range(1, others + 1):
        row = [*range(1, seq), seq]
        stat = Stat(0o100644, size=0, blocks=0)
        entries.append(encode_entry(seq, f"/other-{seq}.txt", stat, [row, [seq]]))
    for blocks in versions:
        seq = len(entries)
        stat = Stat(
            0o100644,
            size=sum(map(len, blocks)),
            blocks=len(blocks),
            offset=content.length,
            byte_offset=content.byte_length,
        )
        content.append(blocks)
        row = [*range(1, others + 1), seq]
        entries.append(encode_entry(seq, "/table.csv", stat, [row, [seq]]))
    metadata.append(entries)
    for feed in (content, metadata):
        feed.close()
    pool.close()
    return metadata.key.hex


def add_sparse(daemon: RunningDaemon, key: str, wire: Wire) -> None:
    """Host an archive of which nothing is fetched that nobody reads."""
    peers = [f"127.0.0.1:{wire.port}"]
    daemon.request("POST", "/archives", {"link": key, "mode": "sparse", "peers": peers})


def fetch(
    daemon: RunningDaemon, key: str, path: str, start: int, stop: int, version: int | None = None
) -> bytes:
    """Some bytes of a file, over the API."""
    asked = f"?version={version}" if version is not None else ""
    request = urllib.request.Request(
        f"{daemon.api}/api/v1/archives/{key}/files{path}{asked}",
        headers={
            "Authorization": f"Bearer {daemon.token}",
            "Range": f"bytes={start}-{stop - 1}",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.status == 206
        data: bytes = answer.read()
        return data


def quiet(wire: Wire) -> int:
    """Bytes on the wire, once no more come."""
    before = -1
    while before != wire.to_near:
        before = wire.to_near
        time.sleep(2)
    return wire.total


def test_ten_of_a_hundred_megabytes_cost_ten_megabytes(reference: Reference, tmp_path: Path):
    data = table(SIZE, 1)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/table.csv").write_bytes(data)
    for number in range(20):
        (tmp_path / f"source/other-{number}.txt").write_bytes(b"other\n")
    reference.make_archive(tmp_path / "source", tmp_path / "store")
    _, seeding = reference.partial_peer(tmp_path / "store")
    with (
        counting_wire("127.0.0.1", seeding["port"]) as wire,
        running_daemon(tmp_path / "datd") as daemon,
    ):
        add_sparse(daemon, seeding["key"], wire)
        got = fetch(daemon, seeding["key"], "/table.csv", START, STOP)
        assert got == data[START:STOP]
        total = quiet(wire)
        assert total <= MOST
        # What is here is not fetched again.
        assert fetch(daemon, seeding["key"], "/table.csv", START, STOP) == got
        assert quiet(wire) < total + 1000


def test_the_same_of_blocks_cut_by_content_and_of_an_old_version(
    reference: Reference, tmp_path: Path
):
    old, new = table(SIZE, 2), table(SIZE + 12345, 3)
    key = own_archive(tmp_path / "store", [cut(old, 1), cut(new, 2), cut(b"small", 3)], 20)
    _, seeding = reference.partial_peer(tmp_path / "store")
    for version, data in ((21, old), (22, new)):
        with (
            counting_wire("127.0.0.1", seeding["port"]) as wire,
            running_daemon(tmp_path / f"datd-{version}") as daemon,
        ):
            add_sparse(daemon, key, wire)
            got = fetch(daemon, key, "/table.csv", START, STOP, version)
            assert got == data[START:STOP]
            total = quiet(wire)
            assert total <= MOST


def test_a_far_peer_is_read_at_the_speed_of_the_wire(reference: Reference, tmp_path: Path):
    data = table(30_000_000, 4)
    store = tmp_path / "store"
    key = own_archive(store, [[data[at : at + 65536] for at in range(0, len(data), 65536)]], 20)
    _, seeding = reference.partial_peer(store)
    with (
        counting_wire("127.0.0.1", seeding["port"], delay=0.2, speed=10_000_000) as wire,
        running_daemon(tmp_path / "datd") as daemon,
    ):
        add_sparse(daemon, key, wire)
        fetch(daemon, key, "/table.csv", 0, 10)
        begun = time.monotonic()
        got = fetch(daemon, key, "/table.csv", 5_000_000, 25_000_000)
        # The wire needs 2 s; one block for each round trip would take two minutes at least.
        assert time.monotonic() - begun < 60
        assert got == data[5_000_000:25_000_000]
