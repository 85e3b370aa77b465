"""A ranking of a data folder alone: the first scans to label, where there is no run yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from semivox.cohort import LabeledSet, read_case, refuse_not_finite
from semivox.errors import SemivoxError
from semivox.ranking.candidates import cohort_of, labeled_in, refuse_none, unlabeled_in
from semivox.ranking.first_scans import numbers_of, rank_first
from semivox.ranking.record import write_ranking
from semivox.ranking.result import Ranking


def rank_without_run(
    data: Path,
    out: Path,
    top: int | None,
    usual: int,
    labeled: LabeledSet | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Choose ``top`` scans (or ``usual``, if that many are left), and write the ranking into ``out``."""
    cohort, failed = cohort_of(data, labeled)
    known = labeled_in(cohort, labeled, None)
    scans = unlabeled_in(cohort, known, failed, top)
    numbers = {}
    for done, case in enumerate((*known.cases, *scans), 1):
        try:
            volume = read_case(case)
            refuse_not_finite(volume)
            numbers[case.name] = numbers_of(volume, cohort.channels)
        except SemivoxError as error:
            failed[case.name] = str(error)
        if progress is not None:
            progress(done, len(known.cases) + len(scans))
    unlabeled = {case.name: numbers[case.name] for case in scans if case.name in numbers}
    reference = {case.name: numbers[case.name] for case in known.cases if case.name in numbers}
    refuse_none(data, unlabeled, failed)
    patients = {case.name: case.group for case in cohort.cases}
    rows = rank_first(unlabeled, reference, patients, usual if top is None else top)
    notes = tuple(str(fault) for fault in cohort.left_out)
    names = [case.name for case in known.cases]
    content = {
        "model_id": "",
        "method": "",
        "run": "",
        "data": str(data),
        "score": "coverage",
        "networks": [],
        "notes": list(notes),
        "failed": failed,
        "labeled": names,
        "slices": [],
        "forecast": None,
    }
    return Ranking(out, tuple(rows), tuple(names), failed, notes, write_ranking(out, content, rows))
