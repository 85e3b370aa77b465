"""The scans of a data folder that may be chosen for a label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semivox.cohort import Case, Cohort, LabeledSet, split_cohort
from semivox.cohort.folder import scan_folder
from semivox.errors import DataError, SettingsError
from semivox.ranking.labeled import Labeled, labeled_cases


def cohort_of(data: Path, labeled: LabeledSet | None) -> tuple[Cohort, dict[str, str]]:
    """The cohort, and what is wrong with single cases by name."""
    scan = scan_folder(data, labeled)
    for case, error in scan.errors:
        if not case:
            raise error
    return scan.cohort, {case: str(error) for case, error in scan.errors}


def labeled_in(cohort: Cohort, labeled: LabeledSet | None, run: Path | None) -> Labeled:
    """The cases that ``labeled`` names; without it those that ``run`` learned from, or, without a run, all
    with a label file."""
    if labeled is None and run is not None:
        return labeled_cases(run, cohort)
    cases = split_cohort(cohort, labeled).labeled
    return Labeled(cases, (), frozenset(case.group for case in cases), ())


def unlabeled_in(cohort: Cohort, known: Labeled, failed: Mapping[str, str], top: int | None) -> list[Case]:
    """The others, but for test cases and broken ones. Raises DataError where there is none, SettingsError
    where ``top`` are not to be had."""
    names = {case.name for case in known.cases}
    scans = [
        case
        for case in cohort.cases
        if case.name not in names and case.role != "test" and case.name not in failed
    ]
    if not scans:
        raise DataError(
            "no unlabelled scan to rank",
            path=cohort.root,
            found=f"{len(names)} labelled cases" + (f", {len(failed)} broken" if failed else ""),
            expected="scans that the run has no label of",
            remedy="add scans to imagesUn/",
        )
    if top is not None and not 1 <= top <= len(scans):
        raise SettingsError(
            f"{top} scans cannot be chosen",
            path=cohort.root,
            found=f"{len(scans)} unlabelled scans",
            expected=f"--top 1 to {len(scans)}",
        )
    return scans


def refuse_none(data: Path, unlabeled: Mapping[str, object], failed: Mapping[str, str]) -> None:
    """Raise DataError where no scan is left to choose from."""
    if not unlabeled:
        case, reason = next(iter(failed.items()))
        raise DataError(
            "none of the unlabelled scans can be predicted",
            path=data,
            found=f"{len(failed)} such; {case}: {reason}",
        )
