"""Folders to share, and how to see that a copy is the same."""

import contextlib
import hashlib
import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path


def make_varied_folder(folder: Path, *, small_files: int = 1000) -> None:
    """Nested folders, Unicode names, an empty file, ten files of 1 B to 5 MB, many small ones."""
    rng = random.Random(20)
    sizes = (1, 100, 65_535, 65_536, 65_537, 131_072, 300_000, 1_000_000, 2_500_000, 5_000_000)
    names = ("a", "b.bin", "c", "d", "e", "Ünïcödé.txt", "日本語.txt", "emoji 🦊", "h", "big.bin")
    for name, size in zip(names, sizes, strict=True):
        write(folder / "data" / name, rng.randbytes(size))
    write(folder / "empty", b"")
    write(folder / "a/b/c/d/deep.txt", b"deep\n")
    write(folder / "名前/文字/x.txt", "字\n".encode())
    for number in range(small_files):
        content = f"small file {number}\n".encode() * rng.randrange(1, 5)
        write(folder / "many" / f"{number % 20}" / f"{number}.txt", content)


def write(file: Path, data: bytes) -> None:
    """Write a file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def hashes_in(folder: Path, *, with_empty: bool = False) -> dict[str, str]:
    """SHA-256 of every file by its name in the archive.

    Files without a byte are left out unless asked for: the original never makes them in a clone.
    """
    return {
        f"/{file.relative_to(folder)}": hashlib.sha256(data).hexdigest()
        for file, data in _files_in(folder)
        if data or with_empty
    }


def becomes(folder: Path, wanted: Mapping[str, str], *, seconds: float = 120) -> None:
    """Wait until a folder that a program fills holds these files, and no others.

    Args:
        folder: The folder.
        wanted: SHA-256 of every file by its name in the archive, as `hashes_in` gives them.
        seconds: How long; generous (decision 29).
    """
    begin = time.monotonic()
    while (found := hashes_in(folder)) != wanted and time.monotonic() < begin + seconds:
        # The program needs the processor more than who looks at what it has done.
        time.sleep(0.3)
    assert found == wanted


def opened_below(folder: Path) -> list[str]:
    """What this process holds open of a folder, and the folder itself; once for each descriptor.

    Descriptors of others, such as event loops that are yet to be collected, come and go.
    """
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return [path for path in found if Path(path).is_relative_to(folder)]


def _files_in(folder: Path) -> Iterator[tuple[Path, bytes]]:
    # Programs may be at work in it: what is gone when its turn comes is not there, folders too.
    for file in sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names):
        if ".dat" in file.parts:
            continue
        try:
            yield file, file.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
