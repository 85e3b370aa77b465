"""``semivox train``: a data folder and a method become a run folder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from semivox.options import Command, Flag, from_options
from semivox.training.options import GROUPS, SETTINGS, TrainOptions

if TYPE_CHECKING:
    from semivox.runs.run import TrainResult


@from_options(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Train a method on a data folder into a new run folder.

    What is None has the default of :class:`semivox.training.config.RunSettings`. ``devices`` > 1: as many
    processes share every batch, each with a GPU of its own or a part of the cores. This one is the first; it
    starts the others and ends them (with ``nodes`` > 1 torchrun does).

    Raises
    ------
    DataError, SettingsError
        Before anything is trained.
    Stopped
        A signal came; the run is saved and can be resumed.
    TrainingFailed
        Training cannot go on.
    """
    from semivox.runs.run import carry_out

    return carry_out(options, _write_page)


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
        train.of(TrainOptions(**options))
    return 0


COMMAND = Command(
    TrainArguments,
    main,
    (
        "semivox train my_scans --out run --budget 2h",
        "semivox train my_scans --out run --method mean_teacher --labeled 8 --steps 2000",
        "semivox train my_scans --out run --resume",
    ),
    groups=GROUPS,
    again="--resume",
)
