"""The original programs as a side: hyperdrive over plain TCP, its feeds on disk."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.side import Reader, Source
from tests.helpers.reference import RUNNERS, Program

# A fetch that takes longer than this has hung.
PATIENCE = 600.0


@dataclass
class _Reader:
    pid: int
    program: Program

    def fetch(self) -> float:
        assert self.program.process.stdin is not None
        self.program.process.stdin.close()
        return float(self.program.wait_for("fetched", timeout=PATIENCE)["seconds"])


class OriginalSide:
    """hyperdrive, run by one Node."""

    name = "original"

    def __init__(self, node: str) -> None:
        self._node = node

    def describe(self) -> str:
        """Versions of Node and of the packages, and whether the crypto is native."""
        code = """
        const version = name => require(name + '/package.json').version
        let crypto = 'sodium-native'
        try { require(crypto) } catch (e) { crypto = 'sodium-javascript' }
        const packages = ['hypercore', 'hyperdrive', crypto].map(p => p + ' ' + version(p))
        console.log(`Node ${process.version}, ${packages.join(', ')}`)"""
        return subprocess.run(
            [self._node, "-e", code], cwd=RUNNERS, check=True, capture_output=True, text=True
        ).stdout.strip()

    def make(self, folder: Path, store: Path, block_size: int) -> dict[str, int]:
        """An archive of a folder; gives `blocks` and `bytes` of both feeds."""
        words = ["make-archive.js", folder, store, "--block", block_size]
        command = [self._node, *(str(word) for word in words)]
        done = subprocess.run(command, cwd=RUNNERS, check=True, capture_output=True, text=True)
        made: dict[str, int] = json.loads(done.stdout)
        return made

    @contextmanager
    def serve(self, store: Path, work: Path) -> Iterator[Source]:
        """Serve a copy, since opening writes."""
        shutil.copytree(store, work, dirs_exist_ok=True)
        with self._running("seed", work) as program:
            said = program.wait_for("seeding")
            yield Source(program.process.pid, said["key"], said["port"])

    @contextmanager
    def reader(self, source: Source, work: Path) -> Iterator[Reader]:
        """A reader that begins when its standard input is closed."""
        words = ("--key", source.key, "--port", source.port, "--wait", "--stay")
        with self._running("fetch", work, *words) as program:
            program.wait_for("ready")
            yield _Reader(program.process.pid, program)

    @contextmanager
    def _running(self, mode: str, work: Path, *words: object) -> Iterator[Program]:
        process = subprocess.Popen(
            [self._node, str(RUNNERS / "bench.js"), mode, str(work), *(str(w) for w in words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        program = Program(process, f"bench.js {mode}")
        try:
            yield program
        finally:
            if process.stdin:
                process.stdin.close()
            program.stop()
