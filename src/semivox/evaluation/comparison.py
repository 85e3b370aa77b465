"""Many methods over the same cases: means with intervals, and each method's paired difference to a reference.

Patients and seeds are drawn independently, with replacement (``crossed_interval``); nothing is averaged away
before. The folds of a seed are pooled first: every case counts once, by the model that never saw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semivox.errors import DataError
from semivox.evaluation.intervals import RESAMPLES, crossed_interval, group
from semivox.evaluation.metrics import COMPARED, METRICS
from semivox.evaluation.paired import FOREGROUND, KEY, column, same_cases
from semivox.randomness import Key

POLICY = {
    "mean": "over seeds and cases; the folds of a seed are pooled, so that every case counts once",
    "ci95": f"bootstrap percentile interval, {RESAMPLES} resamples, fixed key: patients and seeds are drawn "
    "independently, with replacement; with one seed patients alone; null below two patients",
    "difference": "of the variant minus the reference, case by case, over the seeds that both have",
    "patients_better": "patients whose mean difference over their cases and seeds is for the better, "
    "the worse, or exactly 0",
    "verdict": "of foreground Dice: trails (interval wholly below 0), gains (wholly above), open (it holds 0 "
    "or there is none), alone (no seed in common with the reference), reference",
    "gap_closed": "of foreground Dice, over the seeds that all three have: the method's mean difference to "
    "the reference as a share of that of the reference trained with every label; null where that is not "
    "above 0, or not measured",
    "many": "intervals are not widened for the number of methods compared",
}

Evaluation = Mapping[str, Any]
Table = dict[str, dict[str, Any]]  # class -> metric -> number


@dataclass(frozen=True)
class Measured:
    """The evaluation of one trained model: of ``variant`` with these labels and seed on this fold's cases."""

    variant: str
    labeled: str
    fold: str
    seed: int
    evaluation: Evaluation


def compare_evaluations(
    cells: Sequence[Measured],
    folds: Sequence[str],
    reference: str,
    *,
    oracle: str | None = None,
    resamples: int = RESAMPLES,
    key: Key = KEY,
) -> list[dict[str, Any]]:
    """One row a labelled set and variant, in order of appearance, the labelled sets together.

    Parameters
    ----------
    cells
        What is finished.
    folds
        All folds. A seed that lacks one is left out and named under ``incomplete``.
    reference
        The variant that the others are compared with, labelled set by labelled set.
    oracle
        The labelled set with every label; with it the reference shows what all labels are worth.

    Raises
    ------
    DataError
        The evaluations are of different cases, patients, classes or policies, or a case is in two folds.
    """
    rows = []
    every_label = [c for c in cells if (c.labeled, c.variant) == (oracle, reference)]
    ceiling, _ = _seeds(every_label, folds)
    for labeled in dict.fromkeys(cell.labeled for cell in cells):
        pooled: dict[str, dict[int, Evaluation]] = {}
        incomplete: dict[str, list[int]] = {}
        for variant in dict.fromkeys(c.variant for c in cells if c.labeled == labeled):
            own = [c for c in cells if (c.labeled, c.variant) == (labeled, variant)]
            pooled[variant], incomplete[variant] = _seeds(own, folds)
        whole = [e for seeds in pooled.values() for e in seeds.values()]
        if whole:
            same_cases(whole)
        for variant, seeds in pooled.items():
            row: dict[str, Any] = {
                "variant": variant,
                "labeled": labeled,
                "seeds": list(seeds),
                "incomplete": incomplete[variant],
            }
            if seeds:
                row |= _summary(list(seeds.values()), list(seeds), resamples, key)
                others = pooled.get(reference, {})
                row |= _against(seeds, others, variant == reference, resamples, key)
                beside = labeled != oracle and variant != reference
                row["gap_closed"] = _gap_closed(seeds, others, ceiling) if beside else None
            rows.append(row)
    return rows


def pool_folds(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The folds of one seed as one evaluation: their cases side by side."""
    first = evaluations[0]
    cases: dict[str, Any] = {}
    patients: dict[str, str] = {}
    for other in evaluations:
        if twice := sorted(set(cases) & set(other["cases"])):
            raise DataError("a case was measured in two folds", found=", ".join(twice[:5]))
        for name in ("classes", "regions", "policy"):
            if other.get(name, {}) != first.get(name, {}):
                raise DataError(f"the folds were evaluated with different {name}")
        cases |= other["cases"]
        patients |= {case: other.get("patients", {}).get(case) or case for case in other["cases"]}
    about = {name: first[name] for name in ("classes", "regions") if name in first}
    return {**about, "policy": first.get("policy", {}), "cases": cases, "patients": patients}


def _seeds(cells: Sequence[Measured], folds: Sequence[str]) -> tuple[dict[int, Evaluation], list[int]]:
    """Seed -> pooled evaluation where every fold is there; and the other seeds."""
    whole: dict[int, Evaluation] = {}
    incomplete = []
    for seed in sorted({c.seed for c in cells}):
        of_fold = {c.fold: c.evaluation for c in cells if c.seed == seed}
        if set(of_fold) >= set(folds):
            whole[seed] = pool_folds([of_fold[fold] for fold in folds])
        else:
            incomplete.append(seed)
    return whole, incomplete


def _values(evaluations: Sequence[Evaluation], cases: Sequence[str], keys: Sequence[str]) -> np.ndarray:
    """(seeds, cases, classes x metrics); NaN where a case has no such number."""
    return np.array(
        [[column(e, cases, metric, k) for k in keys for metric in COMPARED] for e in evaluations]
    ).transpose(0, 2, 1)


def _summary(
    evaluations: Sequence[Evaluation], seeds: Sequence[int], resamples: int, key: Key
) -> dict[str, Any]:
    cases, patients = same_cases(evaluations)
    keys = [*evaluations[0]["classes"], FOREGROUND]
    values = _values(evaluations, cases, keys)
    mean, interval = crossed_interval(values, patients, resamples=resamples, key=key)
    dice = values[:, :, keys.index(FOREGROUND) * len(COMPARED) + COMPARED.index("dice")]
    worst = None
    if not np.isnan(dice).all():
        seed, case = map(int, np.unravel_index(np.nanargmin(dice), dice.shape))
        worst = {"case": cases[case], "seed": seeds[seed], "dice": float(dice[seed, case])}
    return {
        "classes": dict(evaluations[0]["classes"]),
        "cases": len(cases),
        "patients": len(set(patients)),
        "mean": _table(keys, mean),
        "ci95": _table(keys, interval),
        "worst": worst,
    }


def _against(
    seeds: Mapping[int, Evaluation],
    reference: Mapping[int, Evaluation],
    itself: bool,
    resamples: int,
    key: Key,
) -> dict[str, Any]:
    """The paired difference to the reference, and what it says."""
    common = [seed for seed in seeds if seed in reference]
    if itself or not common:
        return {"verdict": "reference" if itself else "alone", "difference": None}
    a, b = [seeds[s] for s in common], [reference[s] for s in common]
    cases, patients = same_cases([*a, *b])
    keys = [*a[0]["classes"], FOREGROUND]
    values = _values(a, cases, keys) - _values(b, cases, keys)
    mean, interval = crossed_interval(values, patients, resamples=resamples, key=key)
    better, worse, equal = _signs(values, patients)
    column_of_dice = keys.index(FOREGROUND) * len(COMPARED) + COMPARED.index("dice")
    low, high = interval[column_of_dice]
    return {
        "verdict": "trails" if high < 0 else "gains" if low > 0 else "open",
        "difference": {
            "seeds": common,
            "mean": _table(keys, mean),
            "ci95": _table(keys, interval),
            "patients_better": _table(keys, better),
            "patients_worse": _table(keys, worse),
            "patients_equal": _table(keys, equal),
        },
    }


def _gap_closed(
    seeds: Mapping[int, Evaluation], reference: Mapping[int, Evaluation], ceiling: Mapping[int, Evaluation]
) -> float | None:
    """Share of the reference's gap to all labels that a method closes; None where there is no gap."""
    common = [seed for seed in seeds if seed in reference and seed in ceiling]
    if not common:
        return None
    groups = [[source[seed] for seed in common] for source in (seeds, reference, ceiling)]
    cases, _ = same_cases([evaluation for group in groups for evaluation in group])
    own, low, high = (
        float(np.nanmean([column(e, cases, "dice", FOREGROUND) for e in evaluations]))
        for evaluations in groups
    )
    return (own - low) / (high - low) if high > low else None


def _signs(values: np.ndarray, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients for the better, the worse and neither, (columns,) each; one without a number is in none."""
    patient_of, n = group(patients)
    kept = ~np.isnan(values).any(0)
    sums, counts = np.zeros((n, values.shape[2])), np.zeros((n, values.shape[2]))
    np.add.at(sums, patient_of, np.where(kept, values, 0.0).sum(0))
    np.add.at(counts, patient_of, kept)
    upward = [METRICS[metric].higher_is_better for metric in COMPARED] * (values.shape[2] // len(COMPARED))
    gain = np.where(upward, sums, -sums)
    return (gain > 0).sum(0), (gain < 0).sum(0), ((gain == 0) & (counts > 0)).sum(0)


def _table(keys: Iterable[str], columns: np.ndarray) -> Table:
    """Columns (classes x metrics[, 2]) by class and metric; None for NaN."""
    plain = [None if np.isnan(c).any() else c.tolist() for c in columns]
    numbers = iter(plain)
    return {key: {metric: next(numbers) for metric in COMPARED} for key in keys}
