"""Both sides of a uTP connection as programs: datd's, and the original's with the same roles."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.reference import HERE, RUNNERS, Program, Where

ROOT = Path(__file__).parents[2]
DATD = [sys.executable, "-m", "tests.helpers.utp_side"]


def original(node: str) -> list[str]:
    """Words that start the original's side."""
    return [node, str(RUNNERS / "utp.js")]


@contextmanager
def side(words: list[str], role: str, where: Where = HERE, **options: object) -> Iterator[Program]:
    """Run one side; it is ended with the block.

    Args:
        words: `DATD`, or what `original` gave.
        role: See `python -m tests.helpers.utp_side --help`.
        where: The host.
        options: `port`, and `host`, `bytes` where the role has them.
    """
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        where.words([*words, role, *given]),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    program = Program(process, f"{Path(words[-1]).name} {role}")
    try:
        yield program
    finally:
        program.stop()


@contextmanager
def connected(
    called: list[str],
    called_role: str,
    calling: list[str],
    calling_role: str,
    places: tuple[Where, Where] = (HERE, HERE),
    **options: object,
) -> Iterator[tuple[Program, Program]]:
    """A side that is called, and then one that calls it.

    Args:
        called: Words of the one that is called.
        called_role: Its role.
        calling: Words of the one that calls.
        calling_role: Its role.
        places: Where they run.
        options: `port`, and `bytes` for whoever sends.
    """
    with side(called, called_role, places[0], **options) as server:
        server.wait_for("listening")
        with side(calling, calling_role, places[1], host=places[0].address, **options) as client:
            yield server, client
