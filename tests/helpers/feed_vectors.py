"""Feeds that the reference programs made, as blocks, nodes, proofs and folders."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

from datd.crypto import KeyPair
from datd.feed.merkle import Proof
from datd.storage.base import FeedStorage
from datd.storage.memory import MemoryFile
from datd.types import Node
from tests.helpers.vectors import vectors

FILES = ("key", "secret_key", "tree", "signatures", "bitfield", "data")


@functools.cache
def load(name: str) -> Any:
    """One JSON file of the group `feeds`."""
    return json.loads((vectors("feeds") / f"{name}.json").read_text())


def blocks_of(name: str) -> list[bytes]:
    """The blocks of feed-text, feed-mixed or feed-1000."""
    made = load(name)["blocks"]
    if isinstance(made, list):
        return [bytes.fromhex(block) for block in made]
    salt = load(name)["salt"]
    return [formula_block(index, salt) for index in range(1000)]


def formula_block(index: int, salt: int) -> bytes:
    """Block of the feeds that are given as a formula."""
    return bytes((31 * index + 7 * j + salt) & 0xFF for j in range((37 * index + salt) % 97))


def pair_of(name: str) -> KeyPair:
    feed = load(name)
    return KeyPair(bytes.fromhex(feed["key"]), bytes.fromhex(feed["secretKey"]))


def node(row: list[Any]) -> Node:
    return Node(row[0], bytes.fromhex(row[1]), row[2])


def proof_of(message: dict[str, Any]) -> Proof:
    """Nodes and signature of a Data message in a vector."""
    signature = message["signature"]
    return Proof(
        [node(row) for row in message["nodes"]], bytes.fromhex(signature) if signature else None
    )


def value_of(message: dict[str, Any]) -> bytes | None:
    return None if message["value"] is None else bytes.fromhex(message["value"])


def ranges(rows: list[list[int]]) -> set[int]:
    """Numbers given as [start, end) rows."""
    return {index for start, end in rows for index in range(start, end)}


def folder(name: str) -> Path:
    """A folder under feeds/sleep; read-only."""
    return vectors("feeds") / "sleep" / name


def in_memory(path: Path) -> FeedStorage:
    """The six files of a folder, read into memory."""
    files = {}
    for name in FILES:
        file = path / name
        files[name] = MemoryFile(file.read_bytes() if file.exists() else b"", name=name)
    return FeedStorage(**files)


def contents(storage: FeedStorage) -> dict[str, bytes]:
    """What the six files hold now."""
    found = {}
    for name in FILES:
        file = getattr(storage, name)
        found[name] = file.read(0, file.size())
    return found


def copy(path: Path, to: Path) -> Path:
    return Path(shutil.copytree(path, to))
