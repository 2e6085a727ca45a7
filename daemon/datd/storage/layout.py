"""Where the files of an archive lie: the three layouts of Dat programs. Ours is `flat`.

Source: sleep.md sections 1 and 4.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from datd.storage.base import DescriptorPool, FeedStorage, RandomAccess
from datd.storage.disk import DiskFile
from datd.storage.faults import storage_error
from datd.storage.mapped import Locate, MappedFiles
from datd.storage.owner import OwnerKeyFile

LayoutName = Literal["dat", "flat", "hyperdrive"]

# Each program makes the first four as soon as it opens an archive; the key alone may be lost.
_TELLING: Final = ("key", "tree", "signatures", "bitfield", "secret_key", "data")


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """The two feeds of one archive.

    Attributes:
        metadata: The feed that lists files.
        content: The feed that holds them; its secret key is derived, never stored.
    """

    metadata: FeedStorage
    content: FeedStorage

    def close(self) -> None:
        """Close both."""
        self.metadata.close()
        self.content.close()


def bare(folder: Path, pool: DescriptorPool) -> FeedStorage:
    """A single feed, as hypercore keeps it in a folder of its own: `FOLDER/tree` and so on."""
    return _feed(folder, "", pool)


def flat(folder: Path, pool: DescriptorPool) -> ArchiveFiles:
    """Our layout and dat-node's with `latest: false`: `FOLDER/metadata.tree` and so on."""
    return ArchiveFiles(_feed(folder, "metadata.", pool), _feed(folder, "content.", pool))


def hyperdrive(folder: Path, pool: DescriptorPool) -> ArchiveFiles:
    """What hyperdrive makes of a folder name: `FOLDER/metadata/tree`, `FOLDER/content/data`."""
    return ArchiveFiles(bare(folder / "metadata", pool), bare(folder / "content", pool))


def dat(
    folder: Path,
    pool: DescriptorPool,
    *,
    secret_keys: Path | None,
    locate: Locate,
    content: RandomAccess | None = None,
) -> ArchiveFiles:
    """What the `dat` command makes: `FOLDER/.dat/metadata.tree`, contents as plain files.

    Args:
        folder: The folder that a person shares or cloned into.
        pool: Lends descriptors.
        secret_keys: Where secret keys of all archives lie, by default of that program
            `~/.dat/secret_keys`; None if the archive is to be read-only.
        locate: Finds the plain file of a content byte; see `MappedFiles`.
        content: Holds the content bytes in place of plain files found by `locate` alone.
    """
    hidden = folder / ".dat"
    metadata = _feed(hidden, "metadata.", pool)
    mark = DiskFile(hidden / "metadata.ogd", pool)
    return ArchiveFiles(
        replace(metadata, secret_key=OwnerKeyFile(mark, metadata.key, secret_keys, pool)),
        replace(
            _feed(hidden, "content.", pool),
            data=MappedFiles(folder, locate) if content is None else content,
        ),
    )


def detect(folder: Path) -> LayoutName | None:
    """Say in which layout an archive lies in a folder, or None if there is none.

    Raises:
        StorageError: It cannot be told, because the folder cannot be looked into.
    """
    layouts: tuple[tuple[LayoutName, str], ...] = (
        ("dat", ".dat/metadata."),
        ("flat", "metadata."),
        ("hyperdrive", "metadata/"),
    )
    for layout, prefix in layouts:
        if any(_is_there(folder / f"{prefix}{file}") for file in _TELLING):
            return layout
    return None


def sleep_files(folder: Path, layout: LayoutName) -> list[Path]:
    """The files that a program writes when it holds an archive, but for plain files."""
    prefix = {"dat": ".dat/metadata.", "flat": "metadata.", "hyperdrive": "metadata/"}[layout]
    own = [folder / f"{prefix}{file}" for file in (*_TELLING, "ogd", "latest")]
    content = prefix.replace("metadata", "content")
    return own + [folder / f"{content}{file}" for file in _TELLING]


def _is_there(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise storage_error(error, path, "look for") from error
    return True


def _feed(folder: Path, prefix: str, pool: DescriptorPool) -> FeedStorage:
    def file(name: str, mode: int = 0o644) -> DiskFile:
        return DiskFile(folder / f"{prefix}{name}", pool, mode=mode)

    return FeedStorage(
        key=file("key"),
        secret_key=file("secret_key", 0o600),
        tree=file("tree"),
        signatures=file("signatures"),
        bitfield=file("bitfield"),
        data=file("data"),
    )
