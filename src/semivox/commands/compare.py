"""``semivox compare``: methods over labelled sets, folds and seeds, at equal compute, into one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from semivox.comparison.options import CELLS, HELD_OUT, CompareOptions
from semivox.errors import SettingsError
from semivox.options import Command, Flag, from_options
from semivox.settings import assignments
from semivox.terminal import show
from semivox.training.options import DATA, GROUPS, MACHINE, METHOD, RUN

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semivox.comparison.cells import Cell, State
    from semivox.comparison.request import Request
    from semivox.training.display import Display


@dataclass(frozen=True)
class Comparison:
    """``content`` is that of ``comparison.json``; ``failed``: the cells of this call without a result."""

    out: Path
    content: Mapping[str, Any]
    failed: tuple[Cell, ...]


@from_options(CompareOptions)
def compare(options: CompareOptions) -> Comparison:
    """Train, predict and evaluate every cell of methods x labelled sets x folds x seeds, and compare.

    Raises
    ------
    DataError, SettingsError
        What can be known to be wrong before anything is trained, or ``out`` holds a comparison of something
        else. A cell that fails later does not stop the others: see ``failed`` of the result.
    Stopped
        A signal came; the same call goes on.
    """
    from semivox.comparison.folder import write_comparison
    from semivox.comparison.request import keep
    from semivox.comparison.work import work_elsewhere, work_here
    from semivox.engines.choose import is_here
    from semivox.training.display import Silent

    display, cell = options.display or Silent(), options.cell
    request = _checked(options)
    cells, asked = request.cells(), keep(request)
    if request.added:
        display.say(f"{request.reference.name}: added, as the reference")
    chosen = cells if cell is None else cells[cell - 1 : cell]
    if cell is None and not is_here(options.on):
        failed = work_elsewhere(options, request, chosen, display)
    else:
        failed = work_here(request, chosen, display, wait=cell is None)
    content = write_comparison(request, asked)
    _draw(request.out, display)
    return Comparison(request.out, content, failed)


def _checked(options: CompareOptions) -> Request:
    """What was asked for, with all that can be known to be wrong of it looked for; nothing is written."""
    from semivox.comparison.cell_run import check_settings
    from semivox.comparison.request import check_kept, read_request
    from semivox.comparison.shown_classes import refuse_unshown_classes
    from semivox.engines.choose import known_engine

    known_engine(options.on)
    request = read_request(options)
    cell, count = options.cell, len(request.cells())
    if cell is not None and not 1 <= cell <= count:
        raise SettingsError("no such cell", found=f"--cell {cell}", expected=f"1 to {count}")
    check_kept(request)
    check_settings(request)
    refuse_unshown_classes(request)
    return request


def _draw(out: Path, display: Display) -> None:
    """Write the page. The comparison is safe by now: what fails here is told, and nothing else."""
    from semivox.commands.report import report

    try:
        display.say(f"report: {report(out)}")
    except Exception as error:
        display.say(f"the report could not be written: {type(error).__name__}: {error}")


@from_options(CompareOptions)
def list_cells(options: CompareOptions) -> list[tuple[Cell, State]]:
    """The numbered cells that :func:`compare` would work on, with their state; nothing is written. Raises as
    :func:`compare` does before it trains."""
    from semivox.comparison.cells import state_of

    return [(cell, state_of(cell)) for cell in _checked(options).cells()]


def render(result: Comparison) -> RenderableType:
    """The comparison as a table for the terminal."""
    from semivox.evaluation import comparison_table

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


@dataclass(frozen=True)
class CompareArguments(CompareOptions):
    """What the command line takes."""

    devices: Annotated[int | None, Flag("N", MACHINE, same_as=RUN)] = None
    list: Annotated[bool, Flag("", CELLS)] = False
    """Number the cells, tell the state of each, and end."""


def main(given: CompareArguments) -> int:
    """Compare and show the table, or list the cells; 3 if cells have failed."""
    settings = assignments(given.settings) | ({"run.devices": given.devices} if given.devices else {})
    given = replace(given, settings=settings)
    if given.list:
        show(render_cells(list_cells.of(given)))
        return 0
    from semivox.training.display import ConsoleDisplay

    with ConsoleDisplay() as display:
        result = compare.of(replace(given, display=display))
    show(render(result))
    return 3 if result.failed else 0


COMMAND = Command(
    CompareArguments,
    main,
    (
        "semivox compare my_scans --test my_test_scans --methods mean_teacher,cps --labeled 8 --out compared",
        "semivox compare my_scans --folds 4 --methods all --seeds 0,1,2 --budget 1h --out compared --list",
    ),
    groups=(DATA, METHOD, CELLS, *GROUPS),
    one_of_required=(HELD_OUT,),
)
