"""``semivox compare``: methods over labelled sets, folds and seeds, at equal compute, into one table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semivox.comparison.cells import (
    FAILED,
    Cell,
    State,
    claim,
    holder,
    read_failure,
    read_finished,
    state_of,
    write_failure,
)
from semivox.comparison.folder import write_comparison
from semivox.comparison.request import Request, check_kept, keep, read_request
from semivox.errors import SemivoxError, SettingsError, Stopped
from semivox.evaluation.comparison_table import comparison_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semivox.commands.cell_run import CellRunner
    from semivox.training.display import Display

POLL_SECONDS = 2.0
"""How often cells of other processes are looked at while there is nothing else to do."""


@dataclass(frozen=True)
class Comparison:
    """``content`` is that of ``comparison.json``; ``failed``: the cells of this call without a result."""

    out: Path
    content: Mapping[str, Any]
    failed: tuple[Cell, ...]


def compare(
    data: str | Path,
    out: str | Path,
    *,
    methods: str | Sequence[str],
    labeled: str | int | Sequence[str | int] | None = None,
    seeds: str | int | Sequence[int] | None = None,
    test: str | Path | None = None,
    folds: int | None = None,
    steps: int | None = None,
    budget: float | str | None = None,
    reference: str = "supervised",
    recipe: str | None = None,
    cell: int | None = None,
    plan: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    cache: str | Path | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    display: Display | None = None,
) -> Comparison:
    """Train, predict and evaluate every cell of methods x labelled sets x folds x seeds, and compare.

    Parameters
    ----------
    data
        A data folder.
    out
        Folder of the comparison. What is finished there is kept, what was interrupted goes on, what failed is
        tried again. Several processes may work on it at once.
    methods
        Names as ``train`` takes them, as a list or in one text with commas; "all" is the whole catalogue.
    labeled
        Labelled sets (8, "7p", "8@3", a file of names), "all" or None for every case with a label file.
    seeds
        Seeds; None: 0.
    test
        Data folder of held-out cases with labels. If it is ``data`` itself: its cases with role "test".
    folds
        Instead of ``test``: the labelled cases are cut by patient into so many folds, each held out once.
    steps, budget
        Of every cell; at most one of them.
    reference
        The method that the others are compared with; added if it is not among them.
    cell
        Work on this cell alone (numbers as ``list_cells`` gives them).
    recipe, plan, config, settings, cache, device, precision, threads, workers
        As for :func:`semivox.train`.

    Raises
    ------
    DataError, SettingsError
        What can be known to be wrong before anything is trained, or ``out`` holds a comparison of something
        else. A cell that fails later does not stop the others: see ``failed`` of the result.
    Stopped
        A signal came; the same call goes on.
    """
    from semivox.training.display import Silent

    display = display or Silent()
    request = read_request(
        data, out, methods=methods, labeled=labeled, seeds=seeds, test=test, folds=folds, steps=steps,
        budget=budget, reference=reference, recipe=recipe, plan=plan, config=config, settings=settings,
        cache=cache, device=device, precision=precision, threads=threads, workers=workers,
    )  # fmt: skip
    cells = request.cells()
    if cell is not None and not 1 <= cell <= len(cells):
        raise SettingsError("no such cell", found=f"--cell {cell}", expected=f"1 to {len(cells)}")
    check_kept(request)

    from semivox.commands.cell_run import check_settings

    check_settings(request)
    asked = keep(request)
    if request.added:
        display.say(f"{request.reference.name}: added, as the reference")
    chosen = cells if cell is None else cells[cell - 1 : cell]
    failed = _work(request, chosen, display, wait=cell is None)
    content = write_comparison(request, asked)
    _draw(request.out, display)
    return Comparison(request.out, content, failed)


def _draw(out: Path, display: Display) -> None:
    """Write the page. The comparison is safe by now: what fails here is told, and nothing else."""
    from semivox.commands.report import report

    try:
        display.say(f"report: {report(out)}")
    except Exception as error:
        display.say(f"the report could not be written: {type(error).__name__}: {error}")


def list_cells(data: str | Path, out: str | Path, **options: Any) -> list[tuple[Cell, State]]:
    """The numbered cells that :func:`compare` would work on, with their state; nothing is written.

    ``options`` are those of ``compare``, less ``cell`` and ``display``.
    """
    request = read_request(data, out, **options)
    check_kept(request)
    return [(cell, state_of(cell)) for cell in request.cells()]


def render(result: Comparison) -> RenderableType:
    """The comparison as a table for the terminal."""
    return comparison_table(result.content)


def render_cells(listed: Sequence[tuple[Cell, State]]) -> RenderableType:
    """The list of cells as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table("cell", "method", "labelled", "fold", "seed", "state", "")
    for cell, state in listed:
        row = (cell.number, cell.variant.name, cell.labeled.name, cell.fold, cell.seed, state.kind)
        table.add_row(*(Text(str(value)) for value in (*row, state.detail)))
    return table


def _work(request: Request, cells: Sequence[Cell], display: Display, wait: bool) -> tuple[Cell, ...]:
    """Do every cell that nobody else does, until none is left; returns those that have failed.

    Cells that another process works on are looked at again later, since it may stop and leave them
    unfinished. A cell that failed since this call began is not tried again, whichever process tried it.
    """
    from semivox.commands.cell_run import CellRunner

    runner = CellRunner(request, display)
    began, told, tried = time.time(), "", set[int]()

    def settled(cell: Cell) -> bool:
        if read_finished(cell) is not None:
            return True
        failure = read_failure(cell)
        return failure is not None and (cell.number in tried or failure["time"] >= began)

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
    (cell.folder / FAILED).unlink(missing_ok=True)
    try:
        runner.run(cell)
    except Stopped as error:
        raise Stopped(f"{cell}: {error.fault}", remedy="the same command goes on") from None
    except Exception as error:
        write_failure(cell, error)
        said = error if isinstance(error, SemivoxError) else f"{type(error).__name__}: {error}"
        display.say(f"failed: {cell}: {said}")
