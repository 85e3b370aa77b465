"""The cells of a comparison, done one after the other here, or handed to an engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semivox.comparison.cell_run import CellRunner, minutes_of
from semivox.comparison.cells import (
    Cell,
    claim,
    forget_failure,
    holder,
    read_failure,
    read_finished,
    release_dead,
    write_failure,
)
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import Request
from semivox.engines import Needs, Task, done_on, engine_on
from semivox.errors import DiskFault, SettingsError, Stopped, in_words
from semivox.settings import assignments

if TYPE_CHECKING:
    from semivox.training.display import Display

ENGINE = "engine"
"""In the comparison's folder: what an engine writes down."""
POLL_SECONDS = 2.0
"""How often cells of other processes are looked at while there is nothing else to do."""


def work_elsewhere(
    options: CompareOptions, request: Request, cells: Sequence[Cell], display: Display
) -> tuple[Cell, ...]:
    """Have an engine do every cell that is not finished; returns those that have failed.

    Plans and prepared scans are made here first, so that no worker has to wait for another one's.
    """
    runner, by_number = CellRunner(request, display), {cell.number: cell for cell in cells}
    for cell in cells:
        release_dead(cell.folder)
    left = [cell for cell in cells if read_finished(cell) is None]
    if not left:
        return ()
    for cell in left:
        runner.plan_of(request.group(cell))
    asked = as_plain(options)
    tasks = (Task(c.number, "cell", {"options": asked, "number": c.number}, str(c)) for c in left)
    needs = Needs.of(options.threads, options.device, minutes_of(request))
    done = 0
    with engine_on(str(options.on), needs, display.say, request.out / ENGINE) as engine:
        for outcome in done_on(engine, tasks):
            cell, failure, done = by_number[outcome.task], outcome.failure, done + 1
            if failure is None:
                display.say(f"cell {cell.number}: {cell}: done ({done} of {len(left)})")
                continue
            error = failure.error
            if isinstance(error, Stopped | DiskFault):
                raise error
            if read_finished(cell) is None and read_failure(cell) is None:
                write_failure(cell, error)
            display.say(f"failed: {cell}: {error}")
    return tuple(cell for cell in cells if read_finished(cell) is None)


def as_plain(options: CompareOptions) -> dict[str, Any]:
    """What another process needs to make the same request, as JSON."""
    given = {each.name: getattr(options, each.name) for each in fields(CompareOptions)}
    given |= {"display": None, "on": None, "cell": None, "settings": dict(assignments(options.settings))}
    return {name: _plain(value) for name, value in given.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def work_here(request: Request, cells: Sequence[Cell], display: Display, wait: bool) -> tuple[Cell, ...]:
    """Do every cell that nobody else does, until none is left; returns those that have failed.

    Cells that another process works on are looked at again later, since it may stop and leave them
    unfinished. A cell that failed since this call began is not tried again, whichever process tried it.
    """
    runner = CellRunner(request, display)
    began, told, tried = time.time(), "", set[int]()

    def settled(cell: Cell) -> bool:
        if read_finished(cell) is not None:
            return True
        failure = read_failure(cell)
        return failure is not None and (cell.number in tried or failure["time"] >= began)

    for cell in cells:
        release_dead(cell.folder)
    while open_cells := [cell for cell in cells if not settled(cell)]:
        taken: list[Cell] = []
        for cell in open_cells:
            with claim(cell.folder, patience=0.0 if wait else 1.0) as mine:
                if not mine or settled(cell):
                    continue
                taken.append(cell)
                tried.add(cell.number)
                display.say(f"\ncell {cell.number} of {len(request.cells())}: {cell}")
                _try(runner, cell, display)
        if taken:
            continue
        others = [cell for cell in open_cells if not settled(cell)]
        if others and not wait:
            folder = others[0].folder
            raise SettingsError("another process is working on this cell", path=folder, found=holder(folder))
        text = "waiting for " + "; ".join(f"{cell} ({holder(cell.folder)})" for cell in others)
        if others and text != told:
            display.say(text)
            told = text
        if others:
            time.sleep(POLL_SECONDS)
    return tuple(cell for cell in cells if read_finished(cell) is None)


def _try(runner: CellRunner, cell: Cell, display: Display) -> None:
    """Run one cell; its failure is written down and told, and stops nothing else."""
    forget_failure(cell)
    try:
        runner.run(cell)
    except (Stopped, DiskFault) as error:
        raise Stopped(f"{cell}: {error.fault}", path=error.path, found=error.found) from None
    except Exception as error:
        write_failure(cell, error)
        display.say(f"failed: {cell}: {in_words(error)}")
