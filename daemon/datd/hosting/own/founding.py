"""Makes the files of a new archive of our own. Its secret key is on the disk before anything is."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from datd import crypto
from datd.archive import creation
from datd.catalogue import Write
from datd.hosting.own.own_history import signed
from datd.hosting.own.secrets import Mark, Secrets
from datd.keys import Key
from datd.records import Forking, ImportRules, Record, Summary
from datd.storage import layout
from datd.storage.base import DescriptorPool
from datd.storage.memory import MemoryFile

# Gives what is written down together with a new archive, by its key.
Noted = Callable[[Key], Write]


def found(folder: Path, secrets: Secrets, pool: DescriptorPool) -> Key:
    """Make an archive without files, under a key that nobody can guess.

    Args:
        folder: Where archives lie.
        secrets: Keeps the secret key, and how far the archive was let out.
        pool: Lends descriptors.

    Returns:
        Its key; all of it is on the disk.

    Raises:
        StorageError: The disk refused. What is left behind is in nobody's way.
    """
    pair = crypto.key_pair(os.urandom(crypto.KEY_SIZE))
    key = Key(pair.public)
    secrets.keep(pair.secret)
    name = str(key.discovery_key)
    files = layout.flat(folder / name[:2] / name[2:], pool)
    try:
        # The files of the archive can be copied and given away: the secret lies elsewhere.
        apart = replace(files, metadata=replace(files.metadata, secret_key=MemoryFile()))
        archive = creation.create(apart, pair)
        secrets.set_mark(key.discovery_key, Mark(signed(archive.metadata)))
    finally:
        files.close()
    return key


def as_own(
    record: Record,
    chunking: str,
    source: Path | None,
    watch: bool,
    import_rules: ImportRules,
    forking: Forking | None,
) -> None:
    """Note that an archive is ours, and new; for the arguments see `Library.create`."""
    record.writable, record.chunking, record.forking = True, chunking, forking
    record.source = None if source is None else str(source)
    record.watch, record.import_rules = watch, import_rules
    record.updated_at = record.added_at
    # Its header is all there is.
    record.summary = Summary(blocks_have=1, blocks_total=1, complete=True)
