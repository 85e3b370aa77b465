"""Is A better than B? The mean difference over the same cases, with its interval over patients and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semivox.errors import DataError, SettingsError
from semivox.evaluation.intervals import RESAMPLES, crossed_interval
from semivox.evaluation.metrics import METRICS
from semivox.evaluation.reading import Given, evaluations_given
from semivox.randomness import Key

Evaluation = Mapping[str, Any]
KEY = Key(0) / "evaluation" / "paired"
FOREGROUND = "foreground"
"""The key of the mean over classes, beside label values."""


def paired_difference(
    evaluation_a: Given | Sequence[Given],
    evaluation_b: Given | Sequence[Given],
    metric: str = "dice",
    class_: str = "foreground",
    *,
    resamples: int = RESAMPLES,
    key: Key = KEY,
) -> dict[str, Any]:
    """Mean of A minus B over cases, and its 95 % bootstrap percentile interval.

    Parameters
    ----------
    evaluation_a, evaluation_b
        Evaluations of the same cases, each what :func:`semivox.evaluate` returned or the path of its file; or
        equally long lists of them, one a seed, in the same order of seeds. Patients are resampled and, where
        there are several, seeds too, independently.
    metric, class_
        One of `METRICS`, and a label value as a string or "foreground" (mean over a case's classes).

    Returns
    -------
    dict
        ``mean`` and ``ci95`` of A - B (ci95 None for a single patient), ``mean_a``, ``mean_b``, and the
        number of cases ``n``, of ``patients`` and of ``seeds``. A case without the number in any of the
        files (an empty reference has no relative volume error) is left out.

    Raises
    ------
    DataError
        What is given is no evaluation or cannot be read, they are of different cases, patients or classes, or
        no case has the number.
    """
    a = evaluations_given("evaluation_a", evaluation_a)
    b = evaluations_given("evaluation_b", evaluation_b)
    if metric not in METRICS:
        raise SettingsError("unknown metric", found=metric, expected=", ".join(METRICS))
    if not a or len(a) != len(b):
        raise DataError(
            "A and B need the same number of evaluations, one a seed",
            found=f"{len(a)} and {len(b)}",
            expected="as many of A as of B, and at least one",
            remedy="give both lists in the same order of seeds",
        )
    cases, patients = same_cases([*a, *b])
    values_a = np.array([column(e, cases, metric, class_) for e in a])  # (seeds, cases)
    values_b = np.array([column(e, cases, metric, class_) for e in b])
    kept = ~np.isnan(values_a + values_b).any(0)
    if not kept.any():
        raise DataError(f"no case has {metric} of {class_} in both evaluations")
    values_a, values_b = values_a[:, kept], values_b[:, kept]
    difference = values_a - values_b
    chosen = [p for p, k in zip(patients, kept, strict=True) if k]
    (mean,), (interval,) = crossed_interval(difference[:, :, None], chosen, resamples=resamples, key=key)
    return {
        "metric": metric,
        "class": class_,
        "mean": float(mean),
        "ci95": None if np.isnan(interval).any() else interval.tolist(),
        "mean_a": float(values_a.mean()),
        "mean_b": float(values_b.mean()),
        "n": int(kept.sum()),
        "patients": len(set(chosen)),
        "seeds": len(a),
    }


def same_cases(evaluations: Sequence[Evaluation]) -> tuple[list[str], list[str]]:
    """Cases of the first evaluation and their patients; DataError where another one has others, or other
    classes."""
    first = evaluations[0]
    for other in evaluations[1:]:
        if strangers := sorted(set(first["cases"]) ^ set(other["cases"])):
            raise DataError(
                "the evaluations are not of the same cases, so their cases cannot be paired",
                found=f"{len(strangers)} in one of them only: {', '.join(strangers[:5])}",
                remedy="evaluate both predictions against the same labels",
            )
        for name in ("classes", "regions"):
            if first.get(name, {}) != other.get(name, {}):
                raise DataError(
                    f"the evaluations are of different {name}",
                    found=f"{first.get(name) or 'none'} and {other.get(name) or 'none'}",
                    remedy="evaluate both predictions against the same labels, with the same dataset.json",
                )
        for name in ("tolerance_mm", "name"):
            one, two = (each.get("policy", {}).get(name) for each in (first, other))
            if one != two:
                raise DataError(
                    f"the evaluations use different policies ({name})",
                    found=f"{one} and {two}",
                    remedy="evaluate both with the same --policy and --tolerance-mm",
                )
        if _patients(first) != _patients(other):
            differ = [case for case, patient in _patients(first).items() if _patients(other)[case] != patient]
            raise DataError(
                "the evaluations assign cases to different patients",
                found=f"{len(differ)} cases: {', '.join(differ[:5])}",
                expected="the same patient of each case in all of them",
                remedy="evaluate both predictions against the same labels, with the same cases.csv",
            )
    patients = _patients(first)
    return list(patients), list(patients.values())


def _patients(evaluation: Evaluation) -> dict[str, str]:
    named = evaluation.get("patients", {})
    return {case: named.get(case) or case for case in sorted(evaluation["cases"])}


def patient_count(evaluation: Evaluation) -> int:
    """Over how many patients its intervals are."""
    return len(set(evaluation.get("patients", {}).values())) or len(evaluation["cases"])


def column(evaluation: Evaluation, cases: Sequence[str], metric: str, class_: str) -> np.ndarray:
    """The number of each case, ``(cases,)``; NaN where it has none."""
    if class_ != "foreground" and class_ not in evaluation["classes"]:
        raise DataError(
            "the evaluation has no such class",
            found=class_,
            expected=", ".join([*evaluation["classes"], "foreground"]),
        )
    return np.array([case_value(evaluation["cases"][case], metric, class_) for case in cases])


def case_value(
    rows: Mapping[str, Mapping[str, float | None]], metric: str, class_: str = "foreground"
) -> float:
    """One number of one case; for "foreground" the mean over the classes that have it. NaN for none."""
    chosen = rows.values() if class_ == "foreground" else [rows[class_]] if class_ in rows else []
    numbers = [row.get(metric) for row in chosen]  # a file may be older than a metric
    there = [number for number in numbers if number is not None]
    return sum(there) / len(there) if there else float("nan")
