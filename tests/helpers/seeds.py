"""Archives to seed: their files put below a daemon's data folder, where it adopts them."""

import hashlib
import json
import random
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datd import crypto
from datd.archive.entries import HYPERDRIVE, Header, Stat, encode_entry
from datd.feed.feed import Feed
from datd.hosting.descriptors import Descriptors
from datd.keys import Key
from datd.storage import layout
from tests.helpers.daemon import RunningDaemon
from tests.helpers.vectors import vectors

_FILES = ("key", "tree", "signatures", "bitfield", "data")
_BLOCK = 65_536


@dataclass(frozen=True)
class Seed:
    """An archive whose files lie in a data folder.

    Attributes:
        key: Its link, 64 hex digits.
        folder: Where its files lie.
        files: SHA-256 of each file of its newest version, by path; empty files are left out.
    """

    key: str
    folder: Path
    files: dict[str, str]

    @property
    def discovery_key(self) -> bytes:
        return Key.parse(self.key).discovery_key.raw


def folder_of(data: Path, key: Key) -> Path:
    """Where a daemon keeps the files of an archive."""
    name = str(key.discovery_key)
    return data / "archives" / name[:2] / name[2:]


def plant(vector: str, data: Path) -> Seed:
    """An archive that the reference made, from the vectors."""
    source = vectors("archives") / vector
    expected = json.loads((source / "expected.json").read_text())
    key = Key.parse(expected["metadata"]["key"])
    folder = folder_of(data, key)
    folder.mkdir(parents=True)
    for feed in ("metadata", "content"):
        for file in _FILES:
            shutil.copyfile(source / "store" / feed / file, folder / f"{feed}.{file}")
    hashes = {number: digest for number, *_, digest in expected["history"]}
    stats = {number: stat for number, _, _, stat, _ in expected["history"]}
    listed = expected["listings"][str(expected["version"])]
    files = {
        name: hashes[number] for name, number in listed if stats[number] and stats[number]["size"]
    }
    return Seed(key.hex, folder, files)


def make(number: int, data: Path, *, size: int = 100) -> Seed:
    """An archive of one file of `size` bytes, made here; each number gives another one."""
    pair = crypto.key_pair(hashlib.sha256(f"seed {number}".encode()).digest())
    content = crypto.content_key_pair(pair.secret)
    body = random.Random(number).randbytes(size)
    blocks = [body[at : at + _BLOCK] for at in range(0, size, _BLOCK)]
    entry = encode_entry(1, "/file", Stat(0o100644, size=size, blocks=len(blocks)), [[1], [1]])
    folder = folder_of(data, Key(pair.public))
    pool = Descriptors()
    files = layout.flat(folder, pool)
    for storage, owner, said in (
        (files.metadata, pair, [Header(HYPERDRIVE, content.public).encode(), entry]),
        (files.content, content, blocks),
    ):
        feed = Feed.create(storage, owner)
        feed.append(said)
        feed.close()
    pool.close()
    for secret in folder.glob("*.secret_key"):
        secret.unlink()
    return Seed(pair.public.hex(), folder, {"/file": hashlib.sha256(body).hexdigest()})


def host(daemon: RunningDaemon, *seeds: Seed) -> None:
    """Have planted archives adopted, and wait until they are looked over."""
    for seed in seeds:
        daemon.request("POST", "/archives", {"link": seed.key})
        daemon.request("GET", f"/archives/{seed.key}/files/")
    for seed in seeds:
        daemon.wait_until(partial(_is_whole, daemon, seed.key), "looked over")


def _is_whole(daemon: RunningDaemon, key: str) -> bool:
    return bool(daemon.archive(key)["state"] == "seeding")
