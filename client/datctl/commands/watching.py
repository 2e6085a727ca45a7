"""Showing something again and again: redrawn on a terminal, told as it changes elsewhere."""

import asyncio
import json as json_text
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datctl import output
from datctl.errors import DatdError, passes

if TYPE_CHECKING:
    from rich.live import Live

# As often as a person can read it; the daemon answers in a millisecond.
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class View:
    """What a verb has to show.

    Attributes:
        document: Plain values, for programs.
        columns: Of the table below, as `output.print_table` has them; none: there is no table.
        rows: Its cells.
        named: How many of the first cells say what a row is about.
        fields: Names and values, above the table.
        empty: Said in place of a table without rows.
        remarks: Lines below it.
    """

    document: object
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[output.Cell]] = ()
    named: int = 1
    fields: Sequence[tuple[str, str]] = ()
    empty: str = "nothing"
    remarks: Sequence[str] = field(default=())


async def show(look: Callable[[], Awaitable[View]], *, watch: bool, json: bool) -> None:
    """Show a view once, or for ever.

    Args:
        look: Asks the daemon.
        watch: Until somebody has enough.
        json: As a document; when watching, one on each line, whenever it is another one.

    Raises:
        DatdError: The daemon said no, or was never there; one that goes away is waited for.
    """
    view = await look()
    if not watch:
        _print(view, json=json)
    elif json:
        await _follow(look, view, _tell_document)
    elif output.is_terminal(sys.stdout):
        await _redraw(look, view)
    else:
        await _follow(look, view, _tell_changes)


def _print(view: View, *, json: bool) -> None:
    if json:
        output.print_document(view.document)
        return
    if view.fields:
        output.print_fields(view.fields)
    if view.columns:
        output.print_table(view.columns, view.rows, empty=view.empty)
    for line in view.remarks:
        output.say(output.shown(line))


async def _follow(
    look: Callable[[], Awaitable[View]], view: View, tell: Callable[[View | None, View], None]
) -> None:
    tell(None, view)
    answering = True
    while True:
        sys.stdout.flush()  # whoever reads a pipe wants to know now
        await asyncio.sleep(WATCH_SECONDS)
        try:
            fresh = await look()
        except DatdError as error:
            if not passes(error):
                raise
            if answering:
                output.note(f"{output.shown(str(error))}; trying again")
            answering = False
            continue
        answering = True
        tell(view, fresh)
        view = fresh


def _tell_document(before: View | None, view: View) -> None:
    if before is None or before.document != view.document:
        output.say(json_text.dumps(view.document))


def _tell_changes(before: View | None, view: View) -> None:
    known = set(_lines(before)) if before is not None else set()
    for line in _lines(view):
        if line not in known:
            output.say(line)
    if before is not None:
        here = {_name(view, row) for row in view.rows}
        for row in before.rows:
            if _name(before, row) not in here:
                output.say(f"{_name(before, row)}  gone")


def _lines(view: View) -> list[str]:
    fields = [f"{name.strip()}: {output.shown(value)}" for name, value in view.fields]
    rows = ["  ".join(output.shown(_text(cell)) for cell in row) for row in view.rows]
    return [*fields, *rows, *map(output.shown, view.remarks)]


def _name(view: View, row: Sequence[output.Cell]) -> str:
    return "  ".join(output.shown(_text(cell)) for cell in row[: view.named])


def _text(cell: output.Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


async def _redraw(look: Callable[[], Awaitable[View]], view: View) -> None:
    from rich.live import Live

    with Live(console=output.console(sys.stdout), auto_refresh=False) as live:
        _draw(live, view, "")
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            trouble = ""
            try:
                view = await look()
            except DatdError as error:
                if not passes(error):
                    raise
                trouble = f"{error}; trying again"
            _draw(live, view, trouble)


def _draw(live: "Live", view: View, trouble: str) -> None:
    from rich.console import Group
    from rich.text import Text

    width = max((len(name) for name, _ in view.fields), default=0)
    lines = [f"{name:<{width}}  {output.shown(value)}".rstrip() for name, value in view.fields]
    parts: list[object] = [Text(line) for line in lines]
    if view.columns:
        parts.append(output.table(view.columns, view.rows) if view.rows else Text(view.empty))
    parts += [Text(output.shown(line)) for line in view.remarks]
    if trouble:
        parts.append(Text(output.shown(trouble), style="red"))
    live.update(Group(*parts), refresh=True)  # type: ignore[arg-type]  # all can be drawn
