"""``semivox evaluate``: a predictions folder against references, into one evaluation file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from semivox.heavy_imports import heavy_imports
from semivox.options import Command, Flag, Json, Positional, from_options
from semivox.terminal import ProgressBar, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semivox.evaluation.folders import Rows
    from semivox.evaluation.pairs import Pairs


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure, and how."""

    predictions: Annotated[str | Path, Positional("PREDICTIONS", url="read")]
    """Folder of masks, as ``predict`` writes it."""
    labels: Annotated[str | Path, Positional("LABELS", data=True, url="read")]
    """A data folder, or a folder of label files."""
    out: Annotated[
        str | Path | None, Flag("FILE.json", default="PREDICTIONS/evaluation.json", writes="file")
    ] = None
    """The file to write."""
    tolerance_mm: Annotated[float, Flag("MM")] = 2.0
    """Tolerance of the normalised surface Dice, in mm."""
    missing_as_empty: Annotated[bool, Flag()] = False
    """Count a missing prediction as an empty mask; without it, one is an error."""
    policy: Annotated[Literal["default", "literature"], Flag()] = "default"
    """For empty masks; literature: distance 0 where one mask is empty, to compare with papers."""
    on: Annotated[str | None, Flag("ENGINE", default="local")] = None
    """Where masks are compared: local, two at a time here; local:N, by N processes; ray[:ADDRESS] or
    slurm[:PARTITION], on a cluster."""
    _: KW_ONLY
    workers: int = 2
    """Cases worked on at a time."""
    progress: Callable[[int, int], None] | None = None
    """Called with (cases done, cases) after each case."""


@from_options(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Measure predicted masks against references and write the evaluation file.

    Returns
    -------
    dict
        The content of the file.

    Raises
    ------
    DataError
        A reference has no prediction, files are unreadable or on different grids, or a value is no class.
    """
    with heavy_imports():
        from semivox.engines.choose import is_here, known_engine
        from semivox.evaluation import evaluate_folders
        from semivox.files import write_json
        from semivox.remote import refuse_in_copy

    known_engine(options.on)
    if options.out is None:
        refuse_in_copy(options.predictions, "give --out FILE.json")
    evaluation = evaluate_folders(
        options.predictions,
        options.labels,
        tolerance_mm=options.tolerance_mm,
        missing_as_empty=options.missing_as_empty,
        policy=options.policy,
        workers=options.workers,
        progress=options.progress,
        elsewhere=None if is_here(options.on) else partial(_elsewhere, options),
    )
    write_json(Path(options.out or Path(options.predictions) / "evaluation.json"), evaluation)
    return evaluation


def _elsewhere(options: EvaluateOptions, matched: Pairs) -> list[Rows]:
    from semivox.elsewhere import scored_elsewhere

    return scored_elsewhere(
        str(options.on),
        Path(options.predictions),
        Path(options.labels),
        matched,
        options.tolerance_mm,
        options.policy,
        options.progress,
    )


def render(evaluation: Mapping[str, Any]) -> RenderableType:
    """The evaluation as a table for the terminal."""
    from semivox.evaluation import evaluation_table

    return evaluation_table(evaluation)


@dataclass(frozen=True)
class EvaluateArguments(EvaluateOptions, Json):
    """What the command line takes."""


def main(given: EvaluateArguments) -> int:
    """Evaluate, and show the table."""
    with ProgressBar("evaluate", quiet=given.json) as bar:
        evaluation = evaluate.of(replace(given, progress=bar))
    show(evaluation if given.json else render(evaluation))
    return 0


COMMAND = Command(EvaluateArguments, main, ("semivox evaluate masks my_test_scans --tolerance-mm 1",))
