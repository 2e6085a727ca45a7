"""Unpacks the bytes that the original programs made, once a machine and content."""

import functools
import hashlib
import os
import tarfile
import tempfile
from pathlib import Path

_PACKED = Path(__file__).parents[1] / "vectors"


@functools.cache
def vectors(group: str) -> Path:
    """The folder of a group: feeds, archives, archive-index, wire, network. Do not write there."""
    packed = _PACKED / f"{group}.tar.xz"
    digest = hashlib.blake2b(packed.read_bytes(), digest_size=8).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"datd-vectors-{os.getuid()}-{digest}"
    if not folder.exists():
        # Two test workers may unpack at once: each into its own place, the rename decides.
        fresh = Path(tempfile.mkdtemp(prefix="datd-vectors-"))
        with tarfile.open(packed) as archive:
            archive.extractall(fresh, filter="data")
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    return folder / group
