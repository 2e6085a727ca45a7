"""Makes the files of a new archive of our own. Its secret key is on the disk before anything is."""

import os
from dataclasses import replace
from pathlib import Path

from datd import crypto
from datd.archive import creation
from datd.hosting.own.own_history import signed
from datd.hosting.own.secrets import Mark, Secrets
from datd.keys import Key
from datd.storage import layout
from datd.storage.base import DescriptorPool
from datd.storage.memory import MemoryFile


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
