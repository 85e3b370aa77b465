"""Which cases of a data folder a run was trained on with their labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semivox.cohort import Case, Cohort, case_identity, files_sha256, is_recorded
from semivox.contents import Cases
from semivox.errors import DataError
from semivox.files import read_json

CASES = "cases.json"


@dataclass(frozen=True)
class Labeled:
    """``cases`` of the data folder, in its order; ``absent``: the run's labelled cases that it lacks;
    ``patients`` of all of them; ``notes`` in words."""

    cases: tuple[Case, ...]
    absent: tuple[str, ...]
    patients: frozenset[str]
    notes: tuple[str, ...]


def labeled_cases(run: Path, cohort: Cohort) -> Labeled:
    """The run's labelled cases as they are found in ``cohort``: the case with the same content, else the one
    with the same name. Files are hashed only as far as that needs."""
    if not (run / CASES).is_file():
        return Labeled((), (), frozenset(), (f"there is no {run / CASES}, which names the labelled scans",))
    rows = [row for row in read_json(run / CASES, kind=Cases)["cases"] if row["role"] == "labeled"]
    own = {case.name: case for case in cohort.cases}
    found: dict[str, Case] = {}
    for row in rows:
        case = own.get(row["case"])
        if case is not None and _is_same(case, row.get("sha256")):
            found[row["case"]] = case
    notes = []
    if open_rows := [row for row in rows if row["case"] not in found]:
        taken = {case.name for case in found.values()}
        by_content = _by_content([case for case in cohort.cases if case.name not in taken])
        for row in open_rows:
            same = by_content.get(row.get("sha256") or "")
            case = same or own.get(row["case"])
            if case is None or case.name in taken:
                continue
            found[row["case"]] = case
            taken.add(case.name)
            if case is not same:
                notes.append(f"{case.name} is not the run's file, but counts as labelled by its name")
    names = {case.name for case in found.values()}
    cases = tuple(case for case in cohort.cases if case.name in names)
    absent = [row for row in rows if row["case"] not in found]
    # the record counts where the folder says nothing: a case under both patients would count twice
    patients = {case.group for case in cases} | {_patient(row) for row in absent}
    return Labeled(cases, tuple(row["case"] for row in absent), frozenset(patients), tuple(notes))


def _patient(row: dict[str, Any]) -> str:
    return str(row.get("patient") or row["case"])


def _is_same(case: Case, recorded: str | None) -> bool:
    try:
        return recorded is not None and is_recorded(case, {recorded})
    except DataError:
        return False  # what is wrong with it is told when it is read


def _by_content(cases: Iterable[Case]) -> dict[str, Case]:
    """Cases by identity and, for records of earlier versions, by their files' hash."""
    found: dict[str, Case] = {}
    for case in cases:
        with contextlib.suppress(DataError):  # as above
            found |= {case_identity(case): case, files_sha256(case): case}
    return found
