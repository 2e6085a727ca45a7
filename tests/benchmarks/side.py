"""What a benchmark asks of either side: hold an archive, fetch one, say what it cost."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Source:
    """A whole archive, served on loopback by a process of its own."""

    pid: int
    key: str
    port: int


class Reader(Protocol):
    """A process that stands ready to fetch an archive."""

    pid: int

    def fetch(self) -> float:
        """Fetch all of it; returns the seconds from the first dial to the last stored block."""


class Side(Protocol):
    """One implementation."""

    name: str

    def describe(self) -> str:
        """Version, runtime and where its crypto comes from."""

    def serve(self, store: Path, work: Path) -> AbstractContextManager[Source]:
        """Serve the archive of a folder in layout `flat`.

        Args:
            store: The folder; it is left as it is.
            work: An empty folder for this run.
        """

    def reader(self, source: Source, work: Path) -> AbstractContextManager[Reader]:
        """A reader of that archive that has not begun.

        Args:
            source: Where the archive is.
            work: An empty folder for this run.
        """
