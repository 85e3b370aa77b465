"""Which cases are labelled in a run: the first K, K patients, a keyed random draw, or a file of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from semivox.cohort.case import Case, Cohort, Split
from semivox.cohort.labeled_set import LabeledSet, as_text
from semivox.errors import SettingsError
from semivox.files import read_text
from semivox.randomness import Key

COUNT = re.compile(r"(\d+)(p?)(?:@(\d+))?")
"""A labelled set that is given by its size; see :func:`split_cohort`."""
BREAK = re.compile(r"\r\n|\r|\n")
"""Ends of lines; others that Unicode has may stand in a name."""


def split_cohort(cohort: Cohort, labeled: LabeledSet | None) -> Split:
    """Divide the training cases (role "test" left out) into labelled and unlabelled, both in cohort order.

    Parameters
    ----------
    labeled
        8 or ``"8"``: the first 8 cases with a label file; ``"7p"``: all those of the first 7 patients;
        ``"8@3"``, ``"7p@3"``: drawn at random with seed 3, patient after patient, so that at most one patient
        is cut and a smaller draw with the same seed is part of a larger one; or the path of a file with one
        case name a line. None: every case with a label file.

    Unlabelled cases have their ``label`` set to None, whatever files they have: nobody downstream can open
    one by accident.

    Raises
    ------
    SettingsError
        More cases or patients than there are, unknown names, or none; a value of another kind.
    """
    text = None if labeled is None else as_text(labeled)
    candidates = [case for case in cohort.cases if case.label is not None and case.role == ""]
    if text is None:
        chosen = candidates
    elif match := COUNT.fullmatch(text.strip()):
        by_patient, seed = bool(match[2]), match[3]
        pool = candidates if seed is None else _shuffled_patients(candidates, int(seed))
        chosen = _first(pool, int(match[1]), by_patient, text)
    else:
        chosen = _named(cohort, candidates, Path(text))
    names = {case.name for case in chosen}
    return Split(
        labeled=tuple(case for case in cohort.cases if case.name in names),
        unlabeled=tuple(
            replace(case, label=None)
            for case in cohort.cases
            if case.name not in names and case.role != "test"
        ),
    )


def _patients(cases: list[Case]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return groups


def _shuffled_patients(cases: list[Case], seed: int) -> list[Case]:
    groups = list(_patients(cases).values())
    order = (Key(seed) / "labeled cases").numpy().permutation(len(groups))
    return [case for i in order for case in groups[i]]


def _first(pool: list[Case], count: int, by_patient: bool, labeled: str) -> list[Case]:
    groups = list(_patients(pool).values()) if by_patient else [[case] for case in pool]
    if not 1 <= count <= len(groups):
        what = "patients with a labelled case" if by_patient else "cases with a label file"
        raise SettingsError(
            f"--labeled {labeled} cannot be met",
            found=f"{len(groups)} {what}",
            expected=f"at least {max(count, 1)}",
            remedy=f"ask for 1 to {len(groups)}" if groups else "add label files",
        )
    return [case for group in groups[:count] for case in group]


def _named(cohort: Cohort, candidates: list[Case], path: Path) -> list[Case]:
    if not path.is_file():
        raise SettingsError(
            "--labeled is neither a number nor a file",
            found=str(path),
            expected="8, 7p, 8@3, 7p@3, or a file with one case name a line",
        )
    known = {case.name for case in cohort.cases}
    names = listed_names(path, known)
    labelled = {case.name: case for case in candidates}
    wrong = [name for name in names if name not in labelled]
    if wrong or not names:
        unknown = [name for name in wrong if name not in known]
        fault = "names no case" if unknown or not names else "names a case that has no label to use"
        raise SettingsError(
            f"--labeled file {fault}",
            path=path,
            found=", ".join((unknown or wrong)[:5]) or "an empty file",
            expected="names of cases with a label file, one a line",
        )
    return [labelled[name] for name in dict.fromkeys(names)]


def one_way(labeled: LabeledSet) -> str:
    """A size of a labelled set written one way, since it names folders and runs are compared by it: ``"03"``
    -> ``"3"``, ``"07p@01"`` -> ``"7p@1"``; any other text, such as a file's path, as it is.
    Raises SettingsError for a value of another kind."""
    text = as_text(labeled)
    match = COUNT.fullmatch(text.strip())
    if match is None:
        return text
    seed = "" if match[3] is None else f"@{int(match[3])}"
    return f"{int(match[1])}{match[2]}{seed}"


def listed_names(
    path: Path, known: Collection[str], case_of: Callable[[str], str] = lambda entry: entry
) -> list[str]:
    """What a file names, one a line, in its order. A line that is one of ``known``, or that ``case_of`` turns
    into one, is that name, whatever it holds. Otherwise ``#`` begins a comment where such a name and a blank
    stand before it, or nothing; any other line is a name as a whole, and nobody's."""

    def is_known(text: str) -> bool:
        return text in known or case_of(text) in known

    lines = BREAK.split(read_text(path))
    return [name for line in lines if (name := _named_on(line, is_known))]


def _named_on(line: str, is_known: Callable[[str], bool]) -> str:
    """Empty where nothing is named."""
    whole = line.strip()
    ends = [found.start() for found in re.finditer(r"\s#", line)]
    for text in (line, whole, *(line[:end].strip() for end in reversed(ends))):
        if is_known(text):
            return text
    return "" if whole.startswith("#") else whole
