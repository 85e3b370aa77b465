"""Comparison folders by hand: what ``compare`` leaves behind, with Dice of our choice and no training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semivox.cohort import load_cohort, read_label
from semivox.cohort.formats import write_mask
from semivox.comparison.variants import safe_name
from semivox.evaluation import METRICS, Measured, compare_evaluations, summarise
from semivox.evaluation.comparison import POLICY
from semivox.report.comparison_page import write_comparison_page

Dice = Callable[[int, str, int, int], float]  # of method number, labelled set, seed and case number
HandMade = Callable[..., Path]


def some_dice(method: int, labeled: str, seed: int, case: int) -> float:
    """Every method has its own level and its own hard cases."""
    return 0.8 - 0.02 * method + 0.001 * seed - 0.03 * ((case * (method + 3)) % 5) / 5


@pytest.fixture
def hand_made(tmp_path: Path) -> HandMade:
    """``hand_made(methods, ...)`` -> the folder. The first method is the reference.

    ``states``: (method number, labelled set, fold, seed) -> state, of cells that are not finished;
    ``counts``: labelled cases of each set; ``test``: a data folder, whose cases are then the held-out ones,
    with masks.
    """
    return writer(tmp_path)


ODD = [
    "supervised",
    "<script>alert(1)</script>",
    "simcvd{contrast=0}",
    '"it\'s" a b',
    "方法-αβγ",
    "mine.py:Mine",
]


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory, held_out_phantoms: Path) -> Path:
    """A comparison with everything, and its page ``report.html``: two sets, two classes, odd names, a failed
    cell, scans. Do not write into it."""
    folder = writer(tmp_path_factory.mktemp("full"))(
        ODD, labeled=("8", "3p"), counts={"3p": 6}, test=held_out_phantoms,
        states={(5, "8", "test", 0): "failed"},
    )  # fmt: skip
    write_comparison_page(folder, folder / "report.html")
    return folder


def writer(folder: Path) -> HandMade:
    """The fixture ``hand_made``, writing below ``folder``."""
    made = [0]

    def write(
        methods: Sequence[str],
        *,
        labeled: Sequence[str] = ("8",),
        seeds: Sequence[int] = (0,),
        folds: Sequence[str] = ("test",),
        cases: int = 6,
        classes: Sequence[str] = ("atrium",),
        counts: Mapping[str, int] | None = None,
        states: Mapping[tuple[int, str, str, int], str] | None = None,
        dice: Dice = some_dice,
        memory: float | None = None,
        test: Path | None = None,
        **request: Any,
    ) -> Path:
        made[0] += 1
        out = folder / f"cmp{made[0]}"
        cohort = None if test is None else load_cohort(test)
        names = [f"case_{i}" for i in range(cases)] if cohort is None else [c.name for c in cohort.cases]
        classes = classes if cohort is None else list(cohort.classes.values())
        variants = [safe_name(method) for method in methods]
        rows, measured = [], []
        for m, method in enumerate(methods):
            for name in labeled:
                for fold in folds:
                    for seed in seeds:
                        place = f"cells/{variants[m]}/{name}/{fold}/{seed}"
                        about = {
                            "variant": variants[m], "method": method, "labeled": name, "fold": fold,
                            "seed": seed, "folder": place,
                        }  # fmt: skip
                        if state := (states or {}).get((m, name, fold, seed)):
                            error = {"error": "no <b>memory</b> left"} if state == "failed" else {}
                            rows.append({**about, "state": state, **error})
                            continue
                        mine = names[folds.index(fold) :: len(folds)]
                        numbers = {n: dice(m, name, seed, names.index(n)) for n in mine}
                        evaluation = evaluation_of(numbers, classes)
                        write_json(out / place / f"evaluations/{fold}/evaluation.json", evaluation)
                        write_json(out / place / "cell.json", {"format": 1})
                        listed = ["labeled"] * (counts or {}).get(name, 8) + ["unlabeled"] * 3
                        write_json(out / place / "cases.json", {"cases": [{"role": r} for r in listed]})
                        if cohort is not None:
                            write_masks(out / place / f"evaluations/{fold}/masks", cohort, m)
                        rows.append(
                            {
                                **about, "state": "finished", "steps": 100 + m, "seconds": 50.0 + m + seed,
                                "peak_memory_gib": memory, "dice": 0.5, "model_id": "m", "plan": "p",
                                "precision": "fp32", "threads": 2, "device": "cpu", "processor": "x",
                                "commit": "c", "torch": "2",
                            }
                        )  # fmt: skip
                        measured.append(Measured(variants[m], name, fold, seed, evaluation))
        fixed = {
            "data": "/scans/organ/train", "test": "/scans/organ/dev" if test is None else str(test),
            "budget": 60.0, "settings": {}, **request,
        }  # fmt: skip
        content = {
            "format": 1,
            "reference": variants[0],
            "folds": list(folds),
            "request": fixed,
            "results": compare_evaluations(measured, folds, variants[0], resamples=200),
            "notes": ["the cells differ in <i>precision</i>"],
            "cells": rows,
            "policy": {**POLICY, "metrics": measured[0].evaluation["policy"] if measured else None},
        }
        write_json(out / "comparison.json", content)
        asked = {"methods": dict(zip(variants, methods, strict=True)), "labeled": {s: s for s in labeled}}
        write_json(out / "request.json", {"format": 1, "fixed": fixed, **asked})
        return out

    return write


def evaluation_of(dice: Mapping[str, float], classes: Sequence[str]) -> dict[str, Any]:
    """An evaluation file: class k has 0.01 k less than the first."""
    rows = {
        case: {
            str(k + 1): {**dict.fromkeys(METRICS), "dice": value - 0.01 * k, "hd95_mm": 30 * (1 - value)}
            for k in range(len(classes))
        }
        for case, value in dice.items()
    }
    values = [str(k + 1) for k in range(len(classes))]
    mean, ci95 = summarise(rows, {case: case for case in dice}, values)
    return {
        "format": 1,
        "classes": dict(zip(values, classes, strict=True)),
        "mean": mean,
        "ci95": ci95,
        "policy": {"name": "default", "tolerance_mm": 2.0},
        "patients": {case: case for case in dice},
        "cases": rows,
    }


def write_masks(folder: Path, cohort: Any, shift: int) -> None:
    """The references, moved by ``shift`` voxels."""
    for case in cohort.cases:
        label = read_label(case.label)
        write_mask(folder / case.name, np.roll(label.array[0], shift, 0), label)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
