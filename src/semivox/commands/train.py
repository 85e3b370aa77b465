"""``semivox train``: a data folder and a method become a run folder."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from semivox.heavy_imports import heavy_imports
from semivox.options import Command, Flag, from_options
from semivox.training.options import GROUPS, SETTINGS, TrainOptions

if TYPE_CHECKING:
    from semivox.runs.result import TrainResult


@from_options(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Train a method on a data folder into a new run folder.

    What is None has the default of :class:`semivox.training.config.RunSettings`. ``devices`` > 1: as many
    processes share every batch, each with a GPU of its own or a part of the cores. This one starts and ends
    them, and trains nothing itself (with ``nodes`` > 1 torchrun does). ``folds``: as many runs in ``out``.

    Raises
    ------
    DataError, SettingsError
        Before anything is trained.
    Stopped
        A signal came; the run is saved and can be resumed.
    TrainingFailed
        Training cannot go on.
    PartialFailure
        Some folds have failed; the others are done.
    """
    began = time.monotonic()  # the budget counts from here: importing torch takes seconds
    if options.folds is not None:
        return _train_folds(options)
    with heavy_imports():
        from semivox.runs.run import carry_out

    _refuse_several(options.folder)
    _refuse_engine(options.on)
    return carry_out(options, _write_page, began)


def _refuse_several(folder: Path) -> None:
    from semivox.comparison.request import REQUEST
    from semivox.errors import SettingsError

    if (folder / REQUEST).is_file():
        raise SettingsError(
            "this folder holds several runs",
            path=folder,
            remedy="go on with the command that made them, or choose another --out",
        )


def _refuse_engine(on: str | None) -> None:
    from semivox.engines.choose import is_here
    from semivox.errors import SettingsError

    if not is_here(on):
        found, remedy = f"--on {on} without --folds", "leave it out: a single run is trained here"
        raise SettingsError("--on is of several folds", found=found, remedy=remedy)


def _train_folds(options: TrainOptions) -> TrainResult:
    from semivox.commands.compare import compare
    from semivox.comparison.cross_validation import as_comparison, close
    from semivox.inference import read_card
    from semivox.inference.ensemble import members_of, warning_of
    from semivox.runs.result import TrainResult

    given = as_comparison(options)
    cells = compare.of(given).content["cells"]
    measured = close(options.folder, cells)
    return TrainResult(
        run=options.folder,
        method=str(given.methods),
        steps=min(cell["steps"] for cell in cells),
        seconds=sum(cell["seconds"] for cell in cells),
        undertrained=warning_of(map(read_card, members_of([options.folder]))),
        cross_validation=measured,
    )


def _write_page(run: Path) -> None:
    from semivox.commands.report import report  # here: a run must not fail for want of matplotlib

    report(run)


@dataclass(frozen=True, kw_only=True)
class TrainArguments(TrainOptions):
    """What the command line takes."""

    verbose: Annotated[bool, Flag("", SETTINGS)] = False
    """Also tell what is assumed, what was measured, and the setting that changes it."""


def main(given: TrainArguments) -> int:
    """Train, and show how it goes."""
    from semivox.training.display import ConsoleDisplay

    display = ConsoleDisplay(verbose=given.verbose)
    options = {f.name: getattr(given, f.name) for f in fields(TrainOptions)} | {"display": display}
    with display:
        result = train.of(TrainOptions(**options))
    if result.cross_validation is not None:
        from semivox.evaluation import evaluation_table
        from semivox.terminal import line, show

        print("\ncross-validation: each case by the run that has not seen its patient")
        show(evaluation_table(result.cross_validation))
        if result.undertrained is not None:
            line(f"warning: {result.undertrained}", error=True)
        command = shlex.join(["semivox", "predict", str(result.run), "SCANS", "--out", "MASKS"])
        print(f"next: {command}")
    return 0


COMMAND = Command(
    TrainArguments,
    main,
    (
        "semivox train my_scans --out run --budget 2h",
        "semivox train my_scans --out run --method mean_teacher --labeled 8 --steps 2000",
        "semivox train my_scans --out run --resume",
        "semivox train my_scans --out runs --folds 5 --budget 1h",
    ),
    groups=GROUPS,
    again="--resume",
)
