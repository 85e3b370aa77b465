"""Comparisons against slow arithmetic: seeds, folds, patients, signs, verdicts, and the table's words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from semivox.errors import DataError
from semivox.evaluation import (
    METRICS,
    VERDICT_WORDS,
    Measured,
    compare_evaluations,
    comparison_markdown,
    comparison_table,
    paired_difference,
    pool_folds,
)
from semivox.evaluation.intervals import crossed_interval
from semivox.randomness import Key

PATIENTS = ["x", "y", "y", "z", "x", "x", "w"]
NAMES = ["w", "x", "y", "z"]


def evaluation(dice: Any, patients: Sequence[str] | None = None, first: int = 0, **numbers: Any) -> Any:
    """An evaluation file; ``dice`` is (cases,) or (cases, classes), other metrics likewise."""
    table = {"dice": np.array(dice, float), **{k: np.array(v, float) for k, v in numbers.items()}}
    table = {k: v if v.ndim == 2 else v[:, None] for k, v in table.items()}
    cases, classes = table["dice"].shape
    names = [f"case{i:03d}" for i in range(first, first + cases)]
    rows = {
        name: {
            str(c + 1): {
                **dict.fromkeys(METRICS),
                **{k: None if np.isnan(v[i, c]) else float(v[i, c]) for k, v in table.items()},
            }
            for c in range(classes)
        }
        for i, name in enumerate(names)
    }
    return {
        "format": 1,
        "cases": rows,
        "classes": {str(c + 1): f"class_{c + 1}" for c in range(classes)},
        "patients": dict(zip(names, patients or names, strict=True)),
        "policy": {"name": "default", "tolerance_mm": 2.0},
    }


def cells(
    variant: str, values: np.ndarray, patients: Sequence[str] | None = None, **more: Any
) -> list[Measured]:
    """One cell a seed of ``values`` (seeds, cases)."""
    return [
        Measured(variant, more.get("labeled", "8"), "test", seed, evaluation(row, patients))
        for seed, row in enumerate(values)
    ]


def slow_interval(values: np.ndarray, patients: Sequence[str], key: Key, resamples: int) -> np.ndarray:
    """(seeds, cases) -> the percentile interval, one resample after the other, case by case."""
    names = list(dict.fromkeys(patients))
    seeds = len(values)
    of_patients = (key / "patients" / 0).numpy().integers(len(names), size=(resamples, len(names)))
    of_seeds = (key / "seeds" / 0).numpy().integers(seeds, size=(resamples, seeds))
    means = []
    for drawn, chosen in zip(of_patients, of_seeds, strict=True):
        numbers = [
            values[seed, case]
            for seed in chosen
            for patient in drawn
            for case in range(values.shape[1])
            if patients[case] == names[patient] and not np.isnan(values[:, case]).any()
        ]
        means.append(np.mean(numbers) if numbers else np.nan)
    return np.nanpercentile(means, [2.5, 97.5])


def test_means_and_differences_equal_a_slow_bootstrap_over_patients_and_seeds() -> None:
    rng = np.random.default_rng(5)
    key = Key(2) / "test"
    a, b = rng.random((2, 3, 7))  # (seeds, cases)
    found = compare_evaluations(
        [*cells("base", b, PATIENTS), *cells("new", a, PATIENTS)], ["test"], "base", resamples=300, key=key
    )
    base, new = found
    assert (base["variant"], base["verdict"], base["difference"]) == ("base", "reference", None)
    assert (new["cases"], new["patients"], new["seeds"]) == (7, 4, [0, 1, 2])
    for row, values in ((base, b), (new, a)):
        assert row["mean"]["foreground"]["dice"] == pytest.approx(values.mean())
        expected = slow_interval(values, PATIENTS, key, 300)
        np.testing.assert_allclose(row["ci95"]["1"]["dice"], expected, rtol=1e-10)
    difference = new["difference"]
    assert difference["mean"]["1"]["dice"] == pytest.approx((a - b).mean())
    np.testing.assert_allclose(
        difference["ci95"]["foreground"]["dice"], slow_interval(a - b, PATIENTS, key, 300), rtol=1e-10
    )
    of_patient = [np.mean([(a - b)[:, i] for i in range(7) if PATIENTS[i] == name]) for name in NAMES]
    assert difference["patients_better"]["1"]["dice"] == sum(d > 0 for d in of_patient)
    assert difference["patients_worse"]["1"]["dice"] == sum(d < 0 for d in of_patient)
    assert difference["mean"]["1"]["hd95_mm"] is None
    seed, case = np.unravel_index(a.argmin(), a.shape)
    assert new["worst"] == {"case": f"case{case:03d}", "seed": seed, "dice": pytest.approx(a.min())}


def test_the_difference_is_that_of_paired_difference() -> None:
    a, b = np.random.default_rng(0).random((2, 2, 9))
    patients = [str(i // 2) for i in range(9)]
    found = compare_evaluations([*cells("a", a, patients), *cells("b", b, patients)], ["test"], "b")[0]
    paired = paired_difference(*([evaluation(row, patients) for row in arm] for arm in (a, b)))
    assert found["difference"]["mean"]["foreground"]["dice"] == pytest.approx(paired["mean"], abs=1e-12)
    np.testing.assert_allclose(found["difference"]["ci95"]["foreground"]["dice"], paired["ci95"], rtol=1e-12)


def test_a_case_without_a_number_in_one_seed_is_left_out_of_that_column() -> None:
    values = np.random.default_rng(1).random((2, 7, 2))
    values[1, 3, 0] = np.nan  # patient z has nothing else
    values[0, 0, 1] = np.nan
    key = Key(3)
    mean, interval = crossed_interval(values, PATIENTS, resamples=200, key=key)
    kept = [0, 1, 2, 4, 5, 6]
    assert mean[0] == pytest.approx(values[:, kept, 0].mean())
    assert mean[1] == pytest.approx(values[:, 1:, 1].mean())
    for column in (0, 1):
        expected = slow_interval(values[:, :, column], PATIENTS, key, 200)
        np.testing.assert_allclose(interval[column], expected, rtol=1e-10)
    assert np.isnan(crossed_interval(values[:, :, :1], ["one"] * 7)[1]).all()
    nothing = crossed_interval(np.full((2, 7, 1), np.nan), PATIENTS)
    assert np.isnan(nothing[0]).all()
    assert np.isnan(nothing[1]).all()


def test_the_spread_between_seeds_widens_the_interval() -> None:
    level = np.linspace(0.6, 0.8, 12)
    b = np.tile(level, (4, 1))
    a = b + np.array([-0.03, -0.01, 0.01, 0.03])[:, None]  # all cases alike: all the spread is between seeds
    low, high = compare_evaluations([*cells("a", a), *cells("b", b)], ["test"], "b")[0]["difference"]["ci95"][
        "1"
    ]["dice"]
    assert low < -0.01
    assert high > 0.01
    one = compare_evaluations([*cells("a", a[3:]), *cells("b", b[3:])], ["test"], "b")[0]
    np.testing.assert_allclose(one["difference"]["ci95"]["1"]["dice"], [0.03, 0.03])


def test_folds_are_pooled_so_that_every_case_counts_once() -> None:
    first, second = evaluation([0.5, 0.7, 0.9], ["p", "p", "q"]), evaluation([0.1], ["r"], first=3)
    pooled = pool_folds([first, second])
    assert list(pooled["cases"]) == ["case000", "case001", "case002", "case003"]
    assert pooled["patients"]["case003"] == "r"
    found = compare_evaluations(
        [Measured("a", "8", f, 0, e) for f, e in (("fold0", first), ("fold1", second))],
        ["fold0", "fold1"],
        "a",
    )[0]
    # over cases (0.55), not over folds (0.4)
    assert found["mean"]["1"]["dice"] == pytest.approx(0.55)
    assert (found["cases"], found["patients"]) == (4, 3)
    with pytest.raises(DataError, match="two folds.*case002"):
        pool_folds([first, evaluation([0.1], first=2)])
    with pytest.raises(DataError, match="different classes"):
        pool_folds([first, evaluation([[0.1, 0.2]], first=3)])


def test_a_seed_without_all_folds_is_left_out_and_named() -> None:
    parts = [evaluation([0.5, 0.6]), evaluation([0.7], first=2)]
    done = [Measured("a", "8", f"fold{i}", seed, parts[i]) for seed in (0, 1) for i in (0, 1)]
    found = compare_evaluations(done[:3], ["fold0", "fold1"], "a")[0]
    assert (found["seeds"], found["incomplete"]) == ([0], [1])
    nothing = compare_evaluations(done[:1], ["fold0", "fold1"], "a")[0]
    assert (nothing["seeds"], nothing["incomplete"]) == ([], [0])
    assert "mean" not in nothing


def test_labelled_sets_stand_apart_and_only_common_seeds_are_paired() -> None:
    a, b = np.random.default_rng(2).random((2, 3, 6))
    found = compare_evaluations(
        [
            *cells("base", b[:1], labeled="4"),
            *cells("a", a),
            *cells("base", b[1:]),
            *cells("a", a, labeled="4"),
        ],
        ["test"],
        "base",
    )
    assert [(r["labeled"], r["variant"]) for r in found] == [
        ("4", "base"), ("4", "a"), ("8", "a"), ("8", "base"),
    ]  # fmt: skip
    # seed numbers count from 0 in each list above: b[1:] are seeds 0 and 1
    assert found[1]["difference"]["seeds"] == [0]
    assert found[1]["difference"]["mean"]["1"]["dice"] == pytest.approx((a[0] - b[0]).mean())
    assert found[2]["difference"]["seeds"] == [0, 1]
    assert found[2]["difference"]["mean"]["1"]["dice"] == pytest.approx((a[:2] - b[1:]).mean())
    assert found[2]["mean"]["1"]["dice"] == pytest.approx(a.mean())  # its own mean has all its seeds


def test_other_cases_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="not of the same cases"):
        compare_evaluations([*cells("a", np.ones((1, 3))), *cells("b", np.ones((1, 4)))], ["test"], "b")


def test_better_means_lower_for_distances() -> None:
    a = evaluation([0.9, 0.8, 0.7], hd95_mm=[3.0, 4.0, 5.0], asd_mm=[1.0, 1.0, 1.0])
    b = evaluation([0.8, 0.8, 0.8], hd95_mm=[4.0, 5.0, 5.0], asd_mm=[0.5, np.nan, 1.0])
    found = compare_evaluations([Measured("a", "8", "t", 0, a), Measured("b", "8", "t", 0, b)], ["t"], "b")[0]
    counts = {
        metric: tuple(found["difference"][f"patients_{k}"]["1"][metric] for k in ("better", "worse", "equal"))
        for metric in ("dice", "hd95_mm", "asd_mm", "nsd")
    }
    assert counts == {"dice": (1, 1, 1), "hd95_mm": (2, 0, 1), "asd_mm": (0, 1, 1), "nsd": (0, 0, 0)}


def content(shift: float, spread: float = 0.01, **more: Any) -> dict[str, Any]:
    """A comparison file of two methods over 20 cases that differ by ``shift``."""
    noise = np.random.default_rng(3).normal(0, spread, (1, 20))
    b = np.full((1, 20), 0.7)
    rows = [*cells("supervised", b), *cells("new|one", b + shift + noise - noise.mean())]
    facts = {"steps": 100, "seconds": 75.0, "dice": 0.7}
    listed = [
        {"variant": c.variant, "labeled": "8", "fold": "test", "seed": 0, "state": "finished", **facts,
         "folder": f"cells/{c.variant}"}
        for c in rows
    ]  # fmt: skip
    return {
        "reference": "supervised",
        "folds": ["test"],
        "results": compare_evaluations(rows, ["test"], "supervised"),
        "notes": [],
        "cells": listed,
        **more,
    }


@pytest.mark.parametrize(
    ("shift", "kind", "words"),
    [
        (-0.02, "trails", "new|one (8 labelled) TRAILS supervised: -0.020 ["),
        (0.02, "gains", "new|one (8 labelled) gains on supervised: +0.020 ["),
        (0.001, "open", "new|one (8 labelled): no difference to supervised shown: +0.001 ["),
    ],
)
def test_the_verdict_is_said_in_words(shift: float, kind: str, words: str) -> None:
    made = content(shift)
    row = made["results"][1]
    assert row["verdict"] == kind
    low, high = row["difference"]["ci95"]["foreground"]["dice"]
    assert {"trails": high < 0, "gains": low > 0, "open": low <= 0 <= high}[kind]
    console = Console(width=200, file=io.StringIO())
    console.print(comparison_table(made))
    assert words in console.file.getvalue()
    page = comparison_markdown(made)
    assert f"* {words}" in page
    lines = page.splitlines()
    assert lines[2].startswith("| labelled | method | seeds | steps | time | Dice | HD95, voxels |")
    assert lines[5].startswith("| 8 | new\\|one | 1 | 100 | 1 m 15 s | 0.")
    assert lines[5].endswith(f"| {VERDICT_WORDS[kind]} |")


def test_one_patient_gives_no_verdict() -> None:
    found = compare_evaluations(
        [*cells("a", np.full((2, 3), 0.9), ["p"] * 3), *cells("b", np.full((2, 3), 0.5), ["p"] * 3)],
        ["test"],
        "b",
    )[0]
    assert found["verdict"] == "open"
    assert found["ci95"]["1"]["dice"] is None
    assert found["difference"]["ci95"]["1"]["dice"] is None


def test_nothing_is_hidden() -> None:
    """Failed, missing and half-done cells are told, and what was not equal."""
    made = content(0.0, notes=["the cells differ in precision: bf16 (1), fp32 (1)"])
    lone = {"variant": "cps", "labeled": "8", "fold": "test", "seed": 0, "folder": "cells/cps"}
    made["cells"] += [
        {**lone, "state": "failed", "error": "out of memory"},
        {**lone, "folder": "cells/dtc", "state": "free"},
        {**lone, "folder": "cells/bcp", "state": "running"},
    ]
    made["results"].append({"variant": "cps", "labeled": "8", "seeds": [], "incomplete": [0]})
    page = comparison_markdown(made)
    for line in (
        "2 of 5 cells finished",
        "failed: cells/cps: out of memory",
        "not done: cells/dtc",
        "being worked on: cells/bcp",
        "cps (8 labelled): seed 0 is not finished and is left out",
        "the cells differ in precision: bf16 (1), fp32 (1)",
        "| 8 | cps | 0 | - | - | - |",
    ):
        assert line in page
    alone = compare_evaluations(cells("a", np.ones((1, 3))), ["test"], "supervised")
    page = comparison_markdown({**made, "results": alone})
    assert "a (8 labelled) cannot be compared: supervised has no finished seed in common with it" in page


def test_several_classes_are_shown_one_by_one() -> None:
    rows = [Measured("supervised", "8", "test", 0, evaluation([[0.8, 0.6], [0.9, np.nan]]))]
    made = content(0.0)
    page = comparison_markdown({**made, "results": compare_evaluations(rows, ["test"], "supervised")})
    assert "class_1 0.850, class_2 0.600" in page
    assert "0.800 [" in page  # foreground: (0.7 + 0.9) / 2


def test_the_share_of_the_gap_is_of_the_mean_differences_over_common_seeds() -> None:
    rng = np.random.default_rng(9)
    base, new, best = rng.random((3, 2, 7))
    best += 1  # all labels are worth something
    rows = compare_evaluations(
        [
            *cells("base", base, PATIENTS),
            *cells("new", new, PATIENTS),
            *cells("base", best[:1], PATIENTS, labeled="all"),
        ],
        ["test"], "base", oracle="all", resamples=20,
    )  # fmt: skip
    gaps = {(row["variant"], row["labeled"]): row["gap_closed"] for row in rows}
    low, own = base[0].mean(), new[0].mean()  # seed 1 has no run with all labels
    assert gaps == {
        ("base", "8"): None,
        ("new", "8"): pytest.approx((own - low) / (best[0].mean() - low)),
        ("base", "all"): None,
    }
    without = compare_evaluations(
        [*cells("base", base, PATIENTS), *cells("new", new, PATIENTS)], ["test"], "base", resamples=20
    )
    assert [row["gap_closed"] for row in without] == [None, None]
    worse = [*cells("base", base), *cells("new", new), *cells("base", base - 0.1, labeled="all")]
    found = compare_evaluations(worse, ["test"], "base", oracle="all", resamples=20)
    assert [row["gap_closed"] for row in found] == [None, None, None]
