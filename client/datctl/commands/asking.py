"""Questions to the person at the terminal, before something is deleted."""

import sys

from datctl import output
from datctl.errors import UsageError


def require_person(verb: str) -> None:
    """Check that somebody is here who can be asked.

    Raises:
        UsageError: A script runs the verb.
    """
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError(f"{verb} asks before it deletes, and nobody is here to answer: give --yes")


def agrees(question: str) -> bool:
    """Whether the answer is yes; anything else is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        output.note("")  # the line was left with Ctrl-D
    return answer.strip().lower() in {"y", "yes"}
