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
            if hasattr(tarfile, "data_filter"):  # Python 3.11.2, as in Debian 12, has none
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(fresh)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    return folder / group
