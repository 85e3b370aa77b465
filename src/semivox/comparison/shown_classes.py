"""Whether the labels of every training of a comparison show every class, known before any of them begins."""

from __future__ import annotations

import numpy as np

from semivox.cohort import Case, Cohort, inside, read_label
from semivox.comparison.request import Group, Request
from semivox.errors import DataError


def refuse_unshown_classes(request: Request) -> None:
    """Raise DataError where the labelled cases of a set, or what a fold leaves of them, lack a class. Labels
    are read until all classes were seen."""
    shown: dict[str, frozenset[int]] = {}
    for group in request.groups:
        missing = set(group.cohort.structures)
        for case in group.split.labeled:
            if case.name not in shown:
                shown[case.name] = shown_in(case, group.cohort)
            missing -= shown[case.name]
            if not missing:
                break
        if missing:
            raise _refused(request, group, min(missing))


def shown_in(case: Case, cohort: Cohort) -> frozenset[int]:
    """The classes, or regions, of which the label of a case has a voxel."""
    assert case.label is not None
    values = np.unique(read_label(case.label, classes=cohort.classes, regions=cohort.regions).array)
    parts = cohort.regions.parts
    return frozenset(n for n in cohort.structures_of(case) if inside(values, n, parts).any())


def _refused(request: Request, group: Group, number: int) -> DataError:
    cases = len(group.split.labeled)
    what = f"class {number} ({group.cohort.structures[number]})"
    if group.whole:
        return DataError(
            f"no labelled case has {what}",
            path=request.data,
            found=f"--labeled {group.labeled.name}: {cases} cases",
            remedy="label a case that has it, or take more labelled cases",
        )
    return DataError(
        f"without the cases of {group.fold} no label shows {what}",
        path=request.data,
        found=f"{cases} cases of other patients",
        expected="each class in the labels of two patients or more",
        remedy="label another patient who has it, or leave --folds out",
    )
