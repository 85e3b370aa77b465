"""Held-out cases through a run's model: masks, their evaluation, and where the scans lie, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from semivox.cohort import Case, load_cohort
from semivox.errors import DataError
from semivox.evaluation.folders import evaluate_folders
from semivox.evaluation.result_paths import EVALUATION, EVALUATIONS, MASKS, SOURCE
from semivox.files import inside, real_path, write_json
from semivox.inference.folder import predict_folder
from semivox.inference.model import Model
from semivox.inference.promise import Calibration
from semivox.inference.record import Row
from semivox.inference.scan_work import Wanted
from semivox.runs.held_out_masks import held_out_masks


def measure(
    model: Model,
    scans: Sequence[Case],
    data: Path,
    place: Path,
    *,
    anew: Collection[str] = (),
    progress: Callable[[int, int, Row], None] | None = None,
) -> None:
    """Predict ``scans`` of the data folder ``data`` into ``place/masks`` and, where ``data`` has references,
    evaluate them into ``place/evaluation.json``. ``place`` is ``RUN/evaluations/NAME``.

    Cases that are up to date are left alone, but those named in ``anew``. ``progress(done, all, row)`` is
    called after each case. Raises DataError if a scan cannot be predicted.
    """
    inside(place.parent.parent, EVALUATIONS, place.name, MASKS, "any")  # no link leads out of the run
    calibration, done = Calibration(held_out_masks([place.parent.parent], model, but=place.name)), 0
    failed: list[Row] = []

    def told(within: int, of_part: int, row: Row) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(scans), row)

    for part, skip in (
        ([scan for scan in scans if scan.name in anew], False),
        ([scan for scan in scans if scan.name not in anew], True),
    ):
        if part:
            report = predict_folder(
                model,
                part,
                place / MASKS,
                Wanted(),
                calibration=calibration,
                skip_existing=skip,
                progress=told,
            )
            failed += report.failed
    if failed:
        raise DataError(
            f"{len(failed)} of {len(scans)} held-out scans cannot be predicted",
            path=data,
            found=f"{failed[0].case}: {failed[0].reason}",
            remedy="mend the scans, or leave them out (use=no in cases.csv)",
        )
    write_json(place / SOURCE, {"format": 1, "data": str(real_path(data))})
    if any(case.label is not None and case.role != "unlabeled" for case in load_cohort(data).cases):
        write_json(place / EVALUATION, evaluate_folders(place / MASKS, data))
