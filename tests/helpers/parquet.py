"""A parquet file of many columns on an original peer, and what it costs to read one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datctl.fs import DatFileSystem
from tests.helpers.counting_wire import Wire, counting_wire
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.reference import Reference

# A table of measurements, 64-bit numbers that no encoding makes smaller.
COLUMNS = 48
# Of row groups; what pyarrow does unasked.
ROWS = 2**20
COLUMN = "m20"
_BYTES = 8


@dataclass
class FarTable:
    """A parquet file of an archive on an original peer, and a daemon that has nothing of it yet.

    Attributes:
        path: `KEY/table.parquet`.
        size: Of the file, in bytes.
        total: Sum of its column `m20`.
        wire: Between daemon and peer.
        filesystem: The daemon's archives.
    """

    path: str
    size: int
    total: float
    wire: Wire
    filesystem: DatFileSystem
    daemon: RunningDaemon

    @property
    def moved(self) -> float:
        """What came over the wire and went there so far, as a part of the file."""
        return self.wire.total / self.size


def write_table(path: Path, size: int, *, rows: int = ROWS) -> float:
    """Write a table of about so many bytes; gives the sum of its column `m20`."""
    schema = pa.schema([(f"m{number}", pa.float64()) for number in range(COLUMNS)])
    total, left, seed = 0.0, size // (COLUMNS * _BYTES), 0
    options = {"compression": "none", "use_dictionary": False}
    with pq.ParquetWriter(path, schema, **options) as writer:
        while left > 0:
            columns = {}
            for name in schema.names:
                seed += 1
                columns[name] = pc.random(min(left, rows), initializer=seed)
            total += pc.sum(columns[COLUMN]).as_py()
            writer.write_table(pa.table(columns), row_group_size=rows)
            left -= rows
    return total


@contextmanager
def far_table(
    reference: Reference, folder: Path, size: int, *, rows: int = ROWS, seconds: float = 120
) -> Iterator[FarTable]:
    """Make a table, have the original share it, and host it here in mode `sparse`.

    Args:
        reference: The original programs.
        folder: Where all of it is made.
        size: Of the file, in bytes.
        rows: Of its row groups.
        seconds: The original is given so long to import it.
    """
    source = folder / "source"
    source.mkdir()
    total = write_table(source / "table.parquet", size, rows=rows)
    program, ready = reference.peer("share", source, "--port", 0)
    program.wait_for("imported", timeout=seconds)
    with (
        counting_wire("127.0.0.1", ready["port"]) as wire,
        running_daemon(folder / "datd") as daemon,
    ):
        peers = [f"127.0.0.1:{wire.port}"]
        daemon.request(
            "POST", "/archives", {"link": ready["key"], "mode": "sparse", "peers": peers}
        )
        filesystem = DatFileSystem(daemon.api, token=daemon.token, skip_instance_cache=True)
        path = f"{ready['key']}/table.parquet"
        yield FarTable(
            path, (source / "table.parquet").stat().st_size, total, wire, filesystem, daemon
        )
