"""Cutting labelled cases by patient into folds, and what a model may see when one of them is held out."""

from __future__ import annotations

from collections.abc import Sequence

from semivox.cohort.case import Case, Split
from semivox.errors import SettingsError
from semivox.randomness import Key

KEY = Key(0) / "folds"


def cut_folds(cases: Sequence[Case], folds: int, key: Key = KEY) -> tuple[tuple[Case, ...], ...]:
    """``cases`` by patient into ``folds`` parts of about equally many cases, each in the order of ``cases``.

    Patients come in a keyed order, those with most cases first, each into the part with fewest cases so far.
    Raises SettingsError for fewer than two folds, or more than there are patients.
    """
    patients: dict[str, list[Case]] = {}
    for case in cases:
        patients.setdefault(case.group, []).append(case)
    if not 2 <= folds <= len(patients):
        raise SettingsError(
            f"--folds {folds} cannot be met",
            found=f"{len(patients)} patients with {len(cases)} labelled cases",
            expected="2 or more folds, and a patient for each",
            remedy=f"ask for 2 to {len(patients)} folds" if len(patients) > 1 else "label more patients",
        )
    order = [list(patients.values())[i] for i in key.numpy().permutation(len(patients))]
    parts: list[list[Case]] = [[] for _ in range(folds)]
    for own in sorted(order, key=len, reverse=True):  # stable: equal ones stay in keyed order
        min(parts, key=len).extend(own)
    names = [{case.name for case in part} for part in parts]
    return tuple(tuple(case for case in cases if case.name in part) for part in names)


def without_patients(split: Split, held_out: Sequence[Case]) -> Split:
    """``split`` without any case of the held-out cases' patients, labelled or not.

    The images go too: a model that had them as unlabelled scans would have been fitted to its test cases.
    """
    gone = {case.group for case in held_out}

    def rest(cases: Sequence[Case]) -> tuple[Case, ...]:
        return tuple(case for case in cases if case.group not in gone)

    return Split(rest(split.labeled), rest(split.unlabeled))
