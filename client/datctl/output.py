"""What people and programs see: tables, sizes, times, JSON, progress. Knows no command.

Names and titles come from strangers: everything printed for people goes through `shown` (T-47).
"""

import json
import math
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.table import Table

# Joiners shape emoji and several scripts; every other invisible character can only mislead.
_ALLOWED_INVISIBLE = frozenset("\u200c\u200d")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# Wide enough that nothing is cut when a program reads the table; nobody's terminal is.
_PIPE_WIDTH = 100_000

Cell = str | tuple[str, str]
"""A cell of a table: its text, or text and style."""

STATE_STYLES = {
    "seeding": "green",
    "connected": "green",
    "syncing": "cyan",
    "connecting": "cyan",
    "searching": "yellow",
    "waiting": "yellow",
    "paused": "dim",
    "gone": "dim",
    "error": "red",
    "banned": "red",
}


def shown(text: str) -> str:
    r"""A stranger's text, made harmless: what would steer a terminal is written as `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    kind = unicodedata.category(character)
    if kind not in _INVISIBLE or character in _ALLOWED_INVISIBLE:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def state_cell(state: str) -> Cell:
    """A state in its colour."""
    return state, STATE_STYLES.get(state, "")


def count_text(number: int, noun: str) -> str:
    """So many of something, for people: "1 file", "2 files", "3 entries"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def size_text(count: float) -> str:
    """Bytes for people: three digits and a decimal unit."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    if unit == 0:
        return f"{count:.0f} B"
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f} {_UNITS[unit]}"


def rate_text(rate: float) -> str:
    """Bytes per second for people."""
    return f"{size_text(rate)}/s"


def traffic_text(rate: float, total: int) -> str:
    """A rate and what it came to so far."""
    return f"{rate_text(rate)}, {size_text(total)} in all"


def percent_text(share: float) -> str:
    """A share of 1 for people; 100 % only when nothing is missing."""
    return f"{math.floor(share * 1000) / 10:.1f} %" if share < 1 else "100 %"


def time_text(moment: datetime | None) -> str:
    """A time in the reader's own zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment is not None else "-"


def span_text(seconds: float) -> str:
    """A length of time: its two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def say(text: str = "") -> None:
    """A line for people or programs on standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A line on standard error: what is going on, what went wrong."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(value: "BaseModel | Sequence[BaseModel]") -> None:
    """One document, in ASCII: safe for terminals and for every reader."""
    if isinstance(value, Sequence):
        document: object = [item.model_dump(mode="json") for item in value]
    else:
        document = value.model_dump(mode="json")
    print_document(document)


def print_document(document: object) -> None:
    """The same of plain values."""
    say(json.dumps(document, indent=2))


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches, with a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO) -> "Console":
    """Rich on a stream: colours and cutting for terminals only; obeys `NO_COLOR`."""
    from rich.console import Console

    watched = is_terminal(stream)
    return Console(
        file=stream,
        width=None if watched else _PIPE_WIDTH,
        color_system="auto" if watched else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> "Table":
    """A table for a terminal. A column whose name begins with `>` is aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(
            column.lstrip(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="ellipsis",
            no_wrap=True,
        )
    for row in rows:
        cells = [cell if isinstance(cell, tuple) else (cell, "") for cell in row]
        made.add_row(*(Text(shown(text), style=style) for text, style in cells))
    return made


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str = "nothing"
) -> None:
    """A table for people, as `table` makes it; programs get it without colours, in full width."""
    rows = list(rows)
    if not rows:
        note(empty)
        return
    if is_terminal(sys.stdout):
        console(sys.stdout).print(table(columns, rows))
        return
    # Rich takes a tenth of a second to be loaded, which a script need not wait for, and fills
    # lines with spaces, which programs would have to take off.
    texts = [[shown(cell if isinstance(cell, str) else cell[0]) for cell in row] for row in rows]
    texts.insert(0, [column.lstrip(">") for column in columns])
    widths = [max(map(cell_width, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [
            " " * (width - cell_width(text)) + text
            if column.startswith(">")
            else text + " " * (width - cell_width(text))
            for column, width, text in zip(columns, widths, row, strict=True)
        ]
        say("  ".join(cells).rstrip())


def cell_width(text: str) -> int:
    """Columns of a terminal that a text takes: two for wide letters, none for accents."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Names and values below one another."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        say(f"{name:<{width}}  {shown(value)}".rstrip())


class Progress:
    """Progress of one long work on standard error: a bar for people, now and then a line else."""

    # Lines end up in logs: often enough to see that it goes on, seldom enough to read, and none
    # of work that is done by then.
    LINE_SECONDS = 10.0

    def __init__(
        self, title: str, clock: Callable[[], float], stream: TextIO | None = None
    ) -> None:
        self._title = shown(title)
        self._clock = clock
        self._stream = sys.stderr if stream is None else stream
        self._bar = _make_bar(self._stream) if is_terminal(self._stream) else None
        self._task = self._bar.add_task("", total=None, note="") if self._bar is not None else None
        self._next_line = clock() + self.LINE_SECONDS

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: float | None, text: str) -> None:
        """Show how far it is.

        Args:
            done: Of `total`, in any unit.
            total: None while it is not known.
            text: What is said beside the bar.
        """
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=f"{self._title}  {text}")
            return
        if self._clock() >= self._next_line:
            self._next_line = self._clock() + self.LINE_SECONDS
            share = f" {percent_text(done / total)}" if total else ""
            self._stream.write(f"{self._title}:{share} {text}\n")
            self._stream.flush()


def _make_bar(stream: TextIO) -> "Bar":
    from rich import progress

    return progress.Progress(
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=console(stream),
        transient=True,
    )
