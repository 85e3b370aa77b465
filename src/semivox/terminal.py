"""What the command line shows: tables, bars and lines, none of which a name in a file makes longer than a
screen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from semivox.duration import show_duration
from semivox.errors import MOST_SHOWN, printable, shortened
from semivox.options import with_data_folders

LEAST_LEFT = 10.0
"""Seconds that are worth telling."""

O = TypeVar("O")  # noqa: E741

OF_A_CELL = 500
"""Letters of a table's cell that are shown."""


def show(content: Any) -> None:
    """Print a dict as JSON, anything else as rich does."""
    if isinstance(content, dict):
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a pipe has no width: do not break tables at 80 columns
        console = Console(width=160)
    console.print(_short(content))


def line(text: str, *, error: bool = False) -> None:
    """Print a line, on stderr if it is none of the result."""
    print(printable(shortened(text)), file=sys.stderr if error else sys.stdout, flush=error)


def _short(content: Any, most: int = MOST_SHOWN) -> Any:
    """The same, each text of it shortened where it is very long."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if isinstance(content, Group):
        return Group(*map(_short, content.renderables))
    if isinstance(content, Table):
        for column in content.columns:
            column.header = _short(column.header)
            column._cells = [_short(cell, OF_A_CELL) for cell in column._cells]
    if isinstance(content, Text):
        short = "\n".join(shortened(each, most) for each in content.plain.split("\n"))
        return content if short == content.plain else Text(short, style=content.style)
    return shortened(content, most) if isinstance(content, str) else content


def with_folders_told(options: O) -> O:
    """The options with paths where nnU-Net's names stood for data folders; a line on stderr for each."""
    found, lines = with_data_folders(options)
    for each in lines:
        line(each, error=True)
    return found


def case_lines() -> Callable[[int, int, Any], None]:
    """Takes how many cases are done, of how many, and the row of the last one: a line of it on stderr, with
    the time that the rest will take by the pace since the first line."""
    first: list[tuple[float, int]] = []

    def told(done: int, total: int, row: Any) -> None:
        first.extend([] if first else [(time.monotonic(), done)])
        began, before = first[0]
        left = (time.monotonic() - began) / max(1, done - before) * (total - done)
        _case_line(done, total, row, f", {show_duration(left)} left" if left >= LEAST_LEFT else "")

    return told


def _case_line(done: int, total: int, row: Any, left: str) -> None:
    """One predicted case, with the first reason to look at it; the record has all."""
    first, *others = row.reason.split("; ")
    more = f" (and {len(others)} more)" if others else ""
    note = "" if row.flag == "ok" else f"  {row.flag}: {first}{more}"
    said = ""
    if row.promise is not None:
        dice = row.promise["dice"]["foreground"]
        least = f"at least {dice['at_least']:.2f}" if dice["at_least"] else "no less promised"
        said = f"  Dice {dice['expected']:.2f}, {least}"
    line(f"{done}/{total} {row.case} {row.seconds or 0:.1f} s{left}{said}{note}", error=True)


class ProgressBar:
    """``with ProgressBar("check") as bar``: call ``bar(done, total)``. A bar on a terminal, else nothing."""

    def __init__(self, what: str, quiet: bool = False) -> None:
        self.what, self.quiet = what, quiet

    def __enter__(self) -> Callable[[int, int], None]:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self.progress = Progress(
            console=console, transient=True, disable=self.quiet or not console.is_terminal
        )
        self.progress.start()
        task = self.progress.add_task(self.what)
        return lambda done, total: self.progress.update(task, completed=done, total=total)

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()
