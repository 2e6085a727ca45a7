"""De-duplication with the original as the other end: what is here already does not come again.

Bytes are counted on the wire itself, both ways.
"""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.counting_wire import Wire, counting_wire
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import write
from tests.helpers.reference import Reference

from datd import crypto
from datd.archive.creation import create, open_own
from datd.hosting.descriptors import Descriptors
from datd.importing.importer import Importer
from datd.storage import layout

MB = 1_000_000
NOW = 1_500_000_000_000


@dataclass
class Seeder:
    """One archive at a JavaScript peer, behind a wire that counts."""

    key: str
    size: int
    wire: Wire


@contextmanager
def seeding(reference: Reference, store: Path) -> Iterator[Seeder]:
    program, said = reference.partial_peer(store)
    with counting_wire("127.0.0.1", said["port"]) as wire:
        yield Seeder(said["key"], said["bytes"], wire)
    program.stop()


def mirror(daemon: RunningDaemon, seeder: Seeder) -> None:
    """Mirror an archive, and wait until all of it is here and in the index."""
    address = f"127.0.0.1:{seeder.wire.port}"
    daemon.datctl("add", seeder.key, "--peer", address, "--wait", "120")


def published(folder: Path, store: Path) -> None:
    """Bring an archive of ours up to date with a folder, cut by content."""
    pool = Descriptors()
    files = layout.flat(store, pool)
    if store.exists():
        archive = open_own(files)
    else:
        archive = create(files, crypto.key_pair(bytes(range(32))))
    importer = Importer(archive, folder, now=lambda: NOW, chunking="content")
    while importer.advance() is not None:
        pass
    importer.close()
    archive.metadata.close()
    assert archive.content is not None
    archive.content.close()
    pool.close()


def downloaded(daemon: RunningDaemon, key: str) -> int:
    shown: Any = daemon.archive(key)
    return int(shown["transferred"]["downloaded"])


def test_one_byte_at_the_front_of_a_large_file_costs_a_few_blocks_and_hashes(
    reference: Reference, tmp_path: Path
):
    data = random.Random(1).randbytes(8 * MB)
    source, store = tmp_path / "source", tmp_path / "store"
    write(source / "large.bin", data)
    published(source, store)
    shutil.copytree(store, tmp_path / "first")
    write(source / "large.bin", b"!" + data)
    published(source, store)
    with running_daemon(tmp_path / "datd") as daemon:
        with seeding(reference, tmp_path / "first") as first:
            mirror(daemon, first)
        before = downloaded(daemon, first.key)
        with seeding(reference, store) as second:
            daemon.datctl("peers", "add", second.key, f"127.0.0.1:{second.wire.port}")
            daemon.wait_until(
                lambda: daemon.archive(second.key)["version"] == 2, "the new version", seconds=120
            )
            mirror(daemon, second)
        # The largest block is 64 KiB, and the new entry of metadata is counted along.
        assert downloaded(daemon, first.key) - before <= 5 * 65536
        assert second.wire.total < 8 * MB // 40
        daemon.datctl("get", second.key, str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "large.bin").read_bytes() == b"!" + data


def test_a_copy_under_a_new_key_with_a_twentieth_of_it_changed_costs_little_more_than_that(
    reference: Reference, tmp_path: Path
):
    chance = random.Random(2)
    for number in range(100):
        data, other = chance.randbytes(MB // 5), chance.randbytes(MB // 5)
        write(tmp_path / "one" / f"{number}.bin", data)
        write(tmp_path / "two" / f"{number}.bin", data if number % 20 else other)
    for name in ("one", "two"):
        reference.make_archive(tmp_path / name, tmp_path / f"store {name}", block_size=16384)
    with running_daemon(tmp_path / "datd") as daemon:
        with seeding(reference, tmp_path / "store one") as one:
            mirror(daemon, one)
        with seeding(reference, tmp_path / "store two") as two:
            mirror(daemon, two)
        assert two.wire.total <= 0.08 * two.size
        daemon.datctl("get", two.key, str(tmp_path / "copy"))
    for file in (tmp_path / "two").iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
