"""The original Dat programs as partners of a test: started, listened to, ended.

Every program tells what happens line by line. Tests wait for what they need to hear, with a
deadline, and never for time to pass.
"""

import asyncio
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.helpers.lab import Lab
from tests.helpers.pieces import missing
from tests.lab import install

RUNNERS = Path(install.__file__).parent / "reference"
_ROOT = Path(__file__).parents[2]
# Five times the slowest start seen on a busy machine with two cores.
PATIENCE = 120.0
# Until a program that was asked to end is ended; some say farewell to the network first.
FAREWELL = 20.0
# Colours and cursor movements of the `dat` command.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x08")

Event = dict[str, Any]


class NotHeard(AssertionError):
    """A program did not say what the test waited for; the text shows what it said instead."""


class Program:
    """A running program and all it has said so far."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.name = name
        self.process = process
        self._heard: list[Event] = []
        self._news = threading.Condition()
        self._ended = False
        self._ear = threading.Thread(target=self._listen, name=f"ear of {name}", daemon=True)
        self._ear.start()

    @classmethod
    def start(
        cls, words: Sequence[object], name: str, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Run a command, in the project's folder so that Python finds the tests.

        Args:
            words: The command.
            name: What it is called when a test fails.
            environment: Variables beside the usual ones.
        """
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=_ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return cls(process, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                text = _TERMINAL.sub("", line).strip()
                if text:
                    with self._news:
                        self._heard.append(_event(text))
                        self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def events(self) -> list[Event]:
        """Everything said so far, first things first."""
        with self._news:
            return list(self._heard)

    def said(self, event: str, **fields: object) -> list[Event]:
        """Events of a kind whose fields have these values."""
        return [heard for heard in self.events if _fits(heard, event, fields)]

    def wait_for(
        self, event: str, *, timeout: float = PATIENCE, count: int = 1, **fields: object
    ) -> Event:
        """The first such event, or the one that makes `count` of them.

        Args:
            event: Kind of event; lines that are no JSON object are of the kind `line`.
            timeout: Seconds.
            count: How many of them must have been heard.
            fields: Values that its fields must have. A compiled regular expression is searched for.

        Raises:
            NotHeard: The program ended, or time did.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                fitting = [heard for heard in self._heard if _fits(heard, event, fields)]
                if len(fitting) >= count:
                    return fitting[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    raise NotHeard(self._account(event, fields, timeout))
                self._news.wait(left)

    async def heard(self, event: str, **options: Any) -> Event:
        """`wait_for` for tests that run an event loop."""
        return await asyncio.to_thread(functools.partial(self.wait_for, event, **options))

    def wait_for_line(self, pattern: str, *, timeout: float = PATIENCE) -> re.Match[str]:
        """The first line, JSON or not, in which a regular expression is found."""
        wanted = re.compile(pattern)
        line = self.wait_for("line", timeout=timeout, text=wanted)["text"]
        found = wanted.search(line)
        assert found is not None
        return found

    def wait_for_end(self, *, timeout: float = PATIENCE) -> int:
        """Its exit status, once it has ended by itself and all it said was heard."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NotHeard(self._account("end", {}, timeout)) from None
        self._ear.join(timeout)
        return status

    def _account(self, event: str, fields: object, timeout: float) -> str:
        last = "\n".join(f"    {json.dumps(heard, default=str)}" for heard in self._heard[-40:])
        state = "ended" if self._ended else f"went on for {timeout:g} s"
        return (
            f"{self.name} {state} without {event} {fields or ''}; it said\n{last or '    nothing'}"
        )

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it and to what it started; what must end by that has then ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        if how is signal.SIGKILL:
            self.process.wait(FAREWELL)

    def stop(self) -> None:
        """End it, politely first."""
        if self.process.poll() is None:
            self.kill(signal.SIGTERM)
            try:
                self.process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                self.kill()
                self.process.wait(FAREWELL)
        self._ear.join(FAREWELL)


def _event(text: str) -> Event:
    if text.startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            said = json.loads(text)
            if isinstance(said, dict) and "event" in said:
                return said
    return {"event": "line", "text": text}


def _fits(heard: Event, event: str, fields: dict[str, object]) -> bool:
    if heard["event"] != event:
        return False
    for name, wanted in fields.items():
        value = heard.get(name)
        if isinstance(wanted, re.Pattern):
            if not isinstance(value, str) or not wanted.search(value):
                return False
        elif value != wanted:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Where:
    """Where a program runs: on this machine, or inside a host of a lab."""

    lab: Lab | None = None
    host: str = ""

    @property
    def address(self) -> str:
        """IPv4 address others there reach it by."""
        return self.lab.ip(self.host) if self.lab else "127.0.0.1"

    def words(self, command: list[str]) -> list[str]:
        """The command that runs another one there."""
        return [*self.lab.prefix(self.host), *command] if self.lab else command


HERE = Where()


class Reference:
    """Starts original programs and ends them all when the test is over."""

    def __init__(self, node: str, home: Path) -> None:
        self.node = node
        self._home = home
        self._programs: list[Program] = []

    @classmethod
    @contextlib.contextmanager
    def installed(cls, home: Path) -> Iterator[Self]:
        """The reference as `./dev test` brought it, or the end of the test.

        Args:
            home: A folder that the programs may take for the user's home.
        """
        found = install.Reference.load()
        if found is None or not (RUNNERS / "node_modules").exists():
            missing("the original programs are not here: ./dev reference brings them")
        reference = cls(found.node, home)
        try:
            yield reference
        finally:
            reference.stop_all()

    def start(
        self,
        script: str,
        *arguments: object,
        where: Where = HERE,
        environment: dict[str, str] | None = None,
    ) -> Program:
        """Run a script of tests/lab/reference, or a file of its packages."""
        words = [self.node, str(RUNNERS / script), *map(str, arguments)]
        home = self._home / (where.host or "here")
        home.mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(home), "NO_UPDATE_NOTIFIER": "1", "DEBUG_COLORS": "0"}
        name = f"{script} {arguments[0] if arguments else ''}".strip()
        program = Program.start(where.words(words), name, {**own, **(environment or {})})
        self._programs.append(program)
        return program

    def stop_all(self) -> None:
        """End every program that was started here."""
        for program in reversed(self._programs):
            program.stop()
        self._programs.clear()

    def dat(self, *arguments: object, where: Where) -> Program:
        """The real `dat` command. Only for a lab: it looks for public servers."""
        debug = {"DEBUG": "discovery-swarm,dat-node"}
        command = "node_modules/dat/bin/cli.js"
        program = self.start(command, *arguments, where=where, environment=debug)
        program.name = f"dat {arguments[0]}"
        return program

    def dat_share(self, folder: Path, *options: str, where: Where) -> tuple[Program, str]:
        """`dat share FOLDER`, once everything in it is imported; gives the key in hex too."""
        program = self.dat("share", "--no-watch", folder, *options, where=where)
        key = program.wait_for_line(r"dat://([0-9a-f]{64})")[1]
        program.wait_for_line(r"IMPORT done")
        return program, key

    def dat_clone(self, key: str, folder: Path, *options: str, where: Where) -> Program:
        """`dat clone --no-exit KEY FOLDER`: wait until the folder `becomes` what it should.

        Allowed to end, it does so after one round of asking, whether or not somebody was about to
        answer. And what it draws tells little: that all is there it may draw too soon, or never.
        """
        return self.dat("clone", key, folder, "--no-exit", *options, where=where)

    def peer(
        self, role: str, folder: Path, *options: object, where: Where = HERE
    ) -> tuple[Program, Event]:
        """dat-node with only the networks that the options name: `share` or `clone` a folder.

        Returns:
            The program once it listens, and its events `ready` and `listening` as one.
        """
        program = self.start("dat-peer.js", role, folder, *options, where=where)
        ready = program.wait_for("ready")
        return program, {**program.wait_for("listening"), **ready}

    def make_archive(self, folder: Path, store: Path, *, block_size: int = 65536) -> Event:
        """An archive in layout `flat` made of a folder; see make-archive.js."""
        program = self.start("make-archive.js", folder, store, "--block", block_size)
        return program.wait_for("made")

    def partial_peer(
        self, store: Path, *options: object, where: Where = HERE
    ) -> tuple[Program, Event]:
        """A peer that is not whole, listening for TCP; see partial-peer.js."""
        program = self.start(
            "partial-peer.js", store, "--host", where.address, *options, where=where
        )
        return program, program.wait_for("seeding")

    def check_folder(self, folder: Path, *options: object) -> Event:
        """What the original finds in a folder of layout `flat`; see check-folder.js."""
        program = self.start("check-folder.js", folder, *options)
        return program.wait_for("checked")
