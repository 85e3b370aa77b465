"""``semivox report``: a run or a comparison as one self-contained page.

``semivox.report`` is the package of figures and pages, so from Python the function is
``semivox.write_report``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from semivox.contents import Source
from semivox.errors import DataError
from semivox.files import inside, read_json, real_path
from semivox.options import Command, Flag, Positional, from_options
from semivox.terminal import case_lines

if TYPE_CHECKING:
    from semivox.cohort import Case
    from semivox.inference.record import Row
    from semivox.report.run_record import RunRecord


@dataclass(frozen=True)
class ReportOptions:
    """Which page to write."""

    path: Annotated[str | Path, Positional("RUN_OR_COMPARISON")]
    """What ``train`` or ``compare`` wrote."""
    test: Annotated[
        str | Path | None, Flag("DATA2", data=True, url="read", default="the evaluations that the run has")
    ] = None
    """Of a run: a data folder of cases it has not been trained on. They are predicted and measured in
    ``RUN/evaluations/NAME/`` (those that are up to date are left alone) and open the page. Of a comparison:
    where its held-out cases lie now."""
    out: Annotated[
        str | Path | None, Flag("FILE.html", default="report.html in the folder", writes="file")
    ] = None
    """The page to write."""
    _: KW_ONLY
    device: Annotated[str, Flag("D")] = "auto"
    """For predicting: cpu, cuda, or auto: cuda where there is one."""
    threads: Annotated[int | None, Flag("N", default="all")] = None
    """CPU threads."""
    progress: Callable[[int, int, Row], None] | None = None
    """Called as ``progress(done, all, row)`` after each predicted case."""


@from_options(ReportOptions)
def report(options: ReportOptions) -> Path:
    """Write the page of a run folder or of a comparison folder, and return its path.

    Raises
    ------
    DataError
        ``path`` is neither a run nor a comparison; the run has no model to predict with; cases of ``test``
        were trained on with their labels, have other classes or channels, or cannot be read.
    """
    from semivox.evaluation.result_paths import PAGE

    path, test = Path(options.path), options.test
    page = path / PAGE if options.out is None else Path(options.out)
    if (path / "comparison.json").is_file():
        from semivox.report.comparison_page import write_comparison_page

        return write_comparison_page(path, page, None if test is None else Path(test))

    from semivox.report.run_page import write_run_page
    from semivox.report.run_record import read_run

    record, first = read_run(path), None
    if test is not None:
        first = _measure(record, Path(test), options)
        record = read_run(path)
    return write_run_page(record, page, first)


write_report = report


def main(given: ReportOptions) -> int:
    """Write the page and say where it is."""
    page = report.of(replace(given, progress=case_lines()))
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


COMMAND = Command(
    ReportOptions, main, ("semivox report run", "semivox report run --test my_test_scans --out page.html")
)


def _measure(record: RunRecord, test: Path, options: ReportOptions) -> str:
    """Predict and measure the cases of ``test``; returns the name of their evaluation."""
    from semivox.cohort import Task, load_cohort, refuse_other_task
    from semivox.evaluation.result_paths import CALIBRATION
    from semivox.inference.model import load_model
    from semivox.runs.calibration import CalibratingModel, read_calibration, write_calibration
    from semivox.runs.held_out import measure

    cohort = load_cohort(test)
    model = load_model(record.path, device=options.device, threads=options.threads)
    refuse_other_task(Task.of(cohort), model.task, test)
    scans = cohort.cases
    _refuse_trained_on(record, scans, test)
    place = evaluation_folder(record.path, test)
    known = read_calibration(place / CALIBRATION, model, cohort)
    counting = CalibratingModel.of(model, cohort)
    lacking = {case.name for case in cohort.cases if case.label is not None and case.name not in known}
    try:
        measure(counting, scans, test, place, anew=lacking, progress=options.progress)
    finally:
        write_calibration(place / CALIBRATION, model, {**known, **counting.found})
    return place.name


def evaluation_folder(run: Path, test: Path) -> Path:
    """``RUN/evaluations/NAME`` for the cases of ``test``: NAME is the folder's name, with eight digits of its
    path's hash where another folder of that name was measured before."""
    from semivox.evaluation.result_paths import EVALUATIONS, SOURCE

    place = inside(run, EVALUATIONS, real_path(test).name or "test")
    source = place / SOURCE
    if source.is_file() and read_json(source, kind=Source).get("data") != str(real_path(test)):
        digest = hashlib.sha256(str(real_path(test)).encode()).hexdigest()[:8]
        return place.with_name(f"{place.name}-{digest}")
    return place


def _refuse_trained_on(record: RunRecord, scans: Sequence[Case], test: Path) -> None:
    """What a model does on cases it learned from is not what it is worth."""
    from semivox.cohort import is_recorded
    from semivox.inference import learned_by

    learned = {*learned_by(record.path), *(case.sha256 for case in record.of_role("labeled"))}
    if shared := [scan.name for scan in scans if is_recorded(scan, learned)]:
        raise DataError(
            "holds cases that the run, or one that it began with, was trained on with their labels",
            path=test,
            found=f"{len(shared)} of {len(scans)}, such as {shared[0]}",
            expected="cases it has not seen",
            remedy="give other cases, or leave these out (use=no in cases.csv)",
        )
