"""Interactive shells of the machine, typed at through a terminal, as a person would."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.pieces import missing

# Seen on a loaded machine: 2 s until zsh had loaded its completions.
_SECONDS = 60.0
# As `python -m datctl`; a person who pressed Tab waits a second for the daemon, a test for longer.
PATIENTLY = (
    "import sys; from datctl import __main__, completing; completing.PATIENCE = 60.0; "
    "sys.exit(__main__.main())"
)
_STEERING = re.compile(
    rb"\x1b\][^\x07]*\x07|\x1b\[[0-9;?>]*[a-zA-Z]|\x1b[=>()][B0]?|[\x00\x0e\x0f]"
)
_START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {script}"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u; source {script}"),
    "fish": (["fish", "--no-config", "-i"], "set -g fish_greeting; source {script}"),
}


class TypingShell:
    """A shell in a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._seen = b""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Wait until something stands on the screen that was not looked at before."""
        deadline = time.monotonic() + _SECONDS
        while True:
            text = _STEERING.sub(b"", self._seen).decode(errors="replace").replace("\r", "")
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                self._seen = b""
                return found
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {text!r}"
            if select.select([self._terminal], [], [], left)[0]:
                try:
                    self._seen += os.read(self._terminal, 65536)
                except OSError:  # the shell has ended
                    raise AssertionError(f"no {pattern!r}, and the end: {text!r}") from None

    def complete(self, line: str, shows: str) -> list[str]:
        """Type a line and press Tab; gives its words, as the shell understands them then.

        Args:
            line: What is typed.
            shows: A pattern of what must appear behind that.
        """
        self.type(line)
        self.wait_for(re.escape(line[-8:]))
        self.type("\t")
        self.wait_for(shows)
        # To the beginning of the line, where a command is put that tells the words.
        self.type("\x01printf '[%s]' \x05; echo; echo end$((1+1)) \r".replace("$((1+1))", "''2"))
        told = self.wait_for(r"^((?:\[[^\]]*\])+)\n(?:.*\n)*?end2")[1]
        return re.findall(r"\[([^\]]*)\]", told)


@contextmanager
def typing_shell(
    name: str, folder: Path, script: str, environment: Mapping[str, str]
) -> Iterator[TypingShell]:
    """A shell that has read a completion script, for the time of a `with`.

    Args:
        name: "bash", "zsh" or "fish".
        folder: Empty, for the command `datctl` and the script.
        script: What `datctl completion` printed.
        environment: Variables beside the usual ones.
    """
    if shutil.which(name) is None:
        missing(f"{name} is not installed (apt-get install {name})")
    command = folder / "datctl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PATIENTLY}" "$@"\n')
    command.chmod(0o755)
    file = folder / "script"
    file.write_text(script)
    arguments, begin = _START[name]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, 200))
    process = subprocess.Popen(
        ["setsid", "--ctty", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        env={
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm", "PS1": "$ ",
            "HOME": str(folder), "ZDOTDIR": str(folder), "LC_ALL": "C.UTF-8", **environment,
        },
    )  # fmt: skip
    os.close(theirs)
    shell = TypingShell(ours)
    try:
        shell.type(begin.format(script=file) + "; echo rea''dy\r")
        shell.wait_for("^ready")
        yield shell
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        os.close(ours)
