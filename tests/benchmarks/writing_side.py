"""Imports a folder into a new archive, as the daemon does, and tells what that took: one JSON line.

`python -m tests.benchmarks.writing_side FOLDER STORE`
"""

import json
import os
import sys
import time
from pathlib import Path

from datd import crypto
from datd.archive.creation import create
from datd.hosting.descriptors import Descriptors
from datd.importing.importer import Importer
from datd.storage import layout
from tests.helpers.processes import peak_memory, processor_seconds


def main() -> None:
    """Import, and say so."""
    folder, store = Path(sys.argv[1]), Path(sys.argv[2])
    pool = Descriptors()
    archive = create(layout.flat(store, pool), crypto.key_pair(os.urandom(32)))
    used, start = processor_seconds(os.getpid()), time.monotonic()
    importer = Importer(archive, folder.resolve(), now=lambda: time.time_ns() // 1_000_000)
    while importer.advance() is not None:
        pass
    told = {
        "event": "imported",
        "seconds": time.monotonic() - start,
        "cpu": processor_seconds(os.getpid()) - used,
        "memory": peak_memory(os.getpid()),
        "version": archive.version,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    pool.close()


if __name__ == "__main__":
    main()
