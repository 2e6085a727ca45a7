"""Folders that other programs made, copied from the vectors, for a daemon to take over."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datd.hosting.archive import HostedArchive
from datd.keys import Key
from tests.helpers.libraries import Node, until
from tests.helpers.vectors import vectors


@dataclass
class Foreign:
    """A folder with an archive that the original made.

    Attributes:
        folder: The folder.
        expected: What the original says of it.
    """

    folder: Path
    expected: dict[str, Any]

    @property
    def key(self) -> Key:
        return Key.parse(self.expected["metadata"]["key"])

    def bytes_of(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def state(self) -> dict[str, bytes]:
        """Every file of it."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


def foreign(vector: str, where: Path, *, owner_keys: Path | None = None) -> Foreign:
    """Copy a folder of the vectors; its secret key goes where the `dat` command keeps them."""
    source = vectors("archives") / vector
    inner = source / ("dir" if (source / "dir").exists() else "store")
    shutil.copytree(inner, where, symlinks=True)
    for path in where.rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)
    if owner_keys is not None and (source / "secret_keys").exists():
        shutil.copytree(source / "secret_keys", owner_keys, dirs_exist_ok=True)
    return Foreign(where, json.loads((source / "expected.json").read_text()))


async def adopt(owner: Node, folder: Path, **options: Any) -> HostedArchive:
    """Take a folder over, and wait until all that follows is done, which must go well."""
    usual: dict[str, Any] = {"copied": False, "described": False, "watch": False}
    archive = await owner.library.adoption.adopt(
        str(folder), **(usual | {"chunking": "fixed"} | options)
    )
    assert archive is not None
    jobs = owner.library.workshop.jobs
    await until(lambda: jobs.of(archive.key) is None, 120)
    failed = [job.error for job in jobs.all() if job.error is not None]
    assert not failed
    return archive
