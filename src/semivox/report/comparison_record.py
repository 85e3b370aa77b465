"""A comparison folder as one small object: what was asked, what came of every cell, each method's numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from semivox.comparison_contents import Comparison, Request
from semivox.content_checks import check_content
from semivox.contents import Roles, Status
from semivox.errors import DataError
from semivox.evaluation import FOREGROUND, Metric, case_value, hausdorff, read_evaluation, spacing_was_known
from semivox.evaluation.result_paths import CellFolder
from semivox.files import read_json

COMPARISON, REQUEST = "comparison.json", "request.json"
FORMAT = 1
CONDITIONS = ("device", "processor", "precision", "threads", "torch", "commit")


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; all None where there is no number, the interval where there is none."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class CellRecord(CellFolder):
    """One cell. ``steps``: of the finished run, else how far it got; ``error`` of a failed one."""

    variant: str
    method: str
    labeled: str
    seed: int
    state: str
    error: str = ""
    steps: int | None = None
    seconds: float | None = None
    peak_memory_gib: float | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.state == "finished"

    def __str__(self) -> str:
        return f"{self.method}, {self.labeled} labelled, {self.fold}, seed {self.seed}"


@dataclass(frozen=True)
class Cost:
    """Means over a method's finished cells; None where no cell says so."""

    seconds: float | None = None
    steps: float | None = None
    step_seconds: float | None = None
    peak_memory_gib: float | None = None


@dataclass(frozen=True)
class MethodResult:
    """A method on a labelled set: one row of the table.

    ``mean[class][metric]`` and ``difference[class][metric]`` (minus the reference) hold label values as text
    and "foreground"; ``difference`` is empty where there is none, and so is ``mean`` before a seed is whole.
    ``better``, ``worse``, ``equal``: patients, by foreground Dice.
    """

    variant: str
    name: str
    labeled: str
    verdict: str
    seeds: tuple[int, ...]
    incomplete: tuple[int, ...]
    cost: Cost
    cases: int = 0
    patients: int = 0
    classes: Mapping[str, str] = field(default_factory=dict)
    mean: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    difference: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    better: int | None = None
    worse: int | None = None
    equal: int | None = None
    worst_case: str | None = None
    worst_dice: float | None = None

    def of(self, metric: str, class_: str = FOREGROUND) -> Estimate:
        """Mean and interval of a metric."""
        return self.mean.get(class_, {}).get(metric, Estimate())

    def gain(self, metric: str, class_: str = FOREGROUND) -> Estimate:
        """The paired difference to the reference."""
        return self.difference.get(class_, {}).get(metric, Estimate())


@dataclass(frozen=True)
class ComparisonRecord:
    """What a comparison's folder says.

    ``labeled``: the labelled sets, fewest labelled cases first; ``labeled_cases``: how many each has (None
    where no run says so); ``seed_dice[labeled, variant, seed][case]``: foreground Dice of every case under
    each seed of the table, folds pooled; ``asked`` is ``request.json`` (empty where it is gone).
    """

    folder: Path
    reference: str
    folds: tuple[str, ...]
    request: Mapping[str, Any]
    asked: Mapping[str, Any]
    results: tuple[MethodResult, ...]
    cells: tuple[CellRecord, ...]
    labeled: tuple[str, ...]
    labeled_cases: Mapping[str, float | None]
    seed_dice: Mapping[tuple[str, str, int], Mapping[str, float]]
    notes: tuple[str, ...]
    policy: Mapping[str, Any]

    def rows(self, labeled: str) -> tuple[MethodResult, ...]:
        """The rows of one labelled set that have numbers, best foreground Dice first."""
        there = [r for r in self.results if r.labeled == labeled and r.of("dice").mean is not None]
        return tuple(sorted(there, key=lambda r: -(r.of("dice").mean or 0.0)))

    @cached_property
    def names(self) -> dict[str, str]:
        """Variant -> its name for people, all variants of all cells, in the order asked for."""
        return display_names({c.variant: c.method for c in self.cells})

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """The variants that have numbers, best first: by their mean Dice over the labelled sets."""
        dice: dict[str, list[float]] = {}
        for row in self.results:
            if (mean := row.of("dice").mean) is not None:
                dice.setdefault(row.variant, []).append(mean)
        return tuple(sorted(dice, key=lambda v: -fmean(dice[v])))

    def case_dice(self, labeled: str, variant: str) -> dict[str, float]:
        """Foreground Dice of each case, mean over seeds; a case that lacks it under a seed is left out."""
        seeds = [of for (s, v, _), of in self.seed_dice.items() if (s, v) == (labeled, variant)]
        cases = dict.fromkeys(case for of in seeds for case in of)
        return {case: fmean(of[case] for of in seeds) for case in cases if all(case in of for of in seeds)}

    @property
    def reference_name(self) -> str:
        return self.names.get(self.reference, self.reference)

    @property
    def distance(self) -> Metric:
        """The surface distance shown beside Dice."""
        return distance_of(self.results)

    def cost(self, variant: str) -> Cost:
        """Of all finished cells of a variant, over the labelled sets."""
        return cost_of([c for c in self.cells if c.variant == variant])


def read_comparison(folder: str | Path) -> ComparisonRecord:
    """Read ``comparison.json`` and what the finished cells say of their cases.

    Raises DataError where the folder holds no comparison, or one of a newer format. A cell whose files are
    gone is named in the notes.
    """
    folder = Path(folder)
    path = folder / COMPARISON
    content = read_json(path, newest=FORMAT)
    if absent := [key for key in ("reference", "results", "cells") if key not in content]:
        raise DataError("is no comparison", path=path, expected=f"the keys {', '.join(absent)}")
    check_content(content, Comparison, path, "repeat the command that made it")
    cells = tuple(_cell(folder, row) for row in content["cells"])
    results, request = read_results(content), folder / REQUEST
    counts = {name: _labeled_cases(name, cells) for name in dict.fromkeys(c.labeled for c in cells)}
    seed_dice, gone = _seed_dice(results, cells)
    notes = [*content.get("notes", []), *_unlike_disk(cells), *gone]
    return ComparisonRecord(
        folder=folder,
        reference=content["reference"],
        folds=tuple(content.get("folds", ())),
        request=content.get("request", {}),
        asked=read_json(request, newest=FORMAT, kind=Request) if request.is_file() else {},
        results=results,
        cells=cells,
        labeled=tuple(sorted(counts, key=lambda name: math.inf if (n := counts[name]) is None else n)),
        labeled_cases=counts,
        seed_dice=seed_dice,
        notes=tuple(notes),
        policy=content.get("policy", {}),
    )


def read_results(content: Mapping[str, Any]) -> tuple[MethodResult, ...]:
    """The rows of the table of a ``comparison.json``'s content, as they stand there."""
    cells = [_cell(Path(), row) for row in content["cells"]]
    names = display_names({c.variant: c.method for c in cells})
    found = []
    for row in content["results"]:
        own = [c for c in cells if (c.variant, c.labeled) == (row["variant"], row["labeled"])]
        worst, difference = row.get("worst") or {}, row.get("difference") or {}
        signs = {
            key: difference[f"patients_{key}"][FOREGROUND]["dice"] if difference else None
            for key in ("better", "worse", "equal")
        }
        result = MethodResult(
            variant=row["variant"],
            name=names.get(row["variant"], row["variant"]),
            labeled=row["labeled"],
            verdict=row.get("verdict", "unfinished"),
            seeds=tuple(row["seeds"]),
            incomplete=tuple(row["incomplete"]),
            cost=cost_of(own),
            cases=row.get("cases", 0),
            patients=row.get("patients", 0),
            classes=row.get("classes", {}),
            mean=_estimates(row),
            difference=_estimates(difference),
            worst_case=worst.get("case"),
            worst_dice=worst.get("dice"),
            **signs,
        )
        found.append(result)
    return tuple(found)


def distance_of(results: Sequence[MethodResult]) -> Metric:
    """HD95 in the unit that these rows were measured in."""
    means = [{m: e.mean for m, e in r.mean.get(FOREGROUND, {}).items()} for r in results]
    return hausdorff(spacing_was_known(means))


def cost_of(cells: Sequence[CellRecord]) -> Cost:
    """Mean time, steps and memory of the finished ones."""
    done = [c for c in cells if c.finished]
    timed = [c for c in done if c.seconds is not None and c.steps]
    return Cost(
        _mean([c.seconds for c in done]),
        _mean([c.steps for c in done]),
        _mean([c.seconds / c.steps for c in timed if c.seconds is not None and c.steps]),
        _mean([c.peak_memory_gib for c in done]),
    )


def display_names(texts: Mapping[str, str]) -> dict[str, str]:
    """Folder names -> methods as they were written; the folders of a method's file only where two files
    have one name."""
    short = {variant: re.sub(r"^\S*[/\\](?=[^/\\]+\.py:)", "", text) for variant, text in texts.items()}
    twice = {name for name, n in Counter(short.values()).items() if n > 1}
    return {v: name if name not in twice else f"{name} ({v})" for v, name in short.items()}


def _cell(folder: Path, row: Mapping[str, Any]) -> CellRecord:
    cell = CellRecord(
        out=folder,
        place=row["folder"],
        fold=row["fold"],
        variant=row["variant"],
        method=row.get("method", row["variant"]),
        labeled=row["labeled"],
        seed=row["seed"],
        state=row["state"],
        error=row.get("error", ""),
        steps=row.get("steps"),
        seconds=row.get("seconds"),
        peak_memory_gib=row.get("peak_memory_gib"),
        conditions={name: str(row[name]) for name in CONDITIONS if row.get(name) is not None},
    )
    status = cell.folder / "status.json"
    if cell.finished or not status.is_file():
        return cell
    return replace(cell, steps=read_json(status, kind=Status).get("step"))


def _estimates(row: Mapping[str, Any]) -> dict[str, dict[str, Estimate]]:
    """``mean`` and ``ci95`` of a table together."""
    return {
        class_: {m: Estimate(v, *(row["ci95"][class_][m] or (None, None))) for m, v in numbers.items()}
        for class_, numbers in row.get("mean", {}).items()
    }


def _labeled_cases(name: str, cells: Sequence[CellRecord]) -> float | None:
    """Labelled cases of a set, as its runs list them (mean over folds); else the number in its name."""
    found = []
    for fold in dict.fromkeys(c.fold for c in cells if c.labeled == name):
        for cell in (c for c in cells if (c.labeled, c.fold) == (name, fold)):
            if (listed := cell.folder / "cases.json").is_file():
                cases = read_json(listed, kind=Roles)["cases"]
                found.append(sum(case["role"] == "labeled" for case in cases))
                break
    if found:
        return fmean(found)
    number = re.match(r"\d+", name)
    return float(number[0]) if number else None


def _seed_dice(
    results: Sequence[MethodResult], cells: Sequence[CellRecord]
) -> tuple[dict[tuple[str, str, int], dict[str, float]], list[str]]:
    """Dice of every case under every method and seed, and the cells that no longer say it."""
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    gone = []
    whole = {(r.labeled, r.variant, seed) for r in results for seed in r.seeds}
    for cell in cells:
        place = (cell.labeled, cell.variant, cell.seed)
        if not cell.finished or place not in whole:
            continue
        try:
            evaluation = read_evaluation(cell.evaluation)
        except DataError:
            gone.append(f"the evaluation of {cell} is gone or cannot be read; its cases are not drawn")
            continue
        dice = {case: case_value(classes, "dice") for case, classes in evaluation["cases"].items()}
        there = {case: value for case, value in dice.items() if not math.isnan(value)}
        found.setdefault(place, {}).update(there)
    return found, gone


def _unlike_disk(cells: Sequence[CellRecord]) -> list[str]:
    """Cells that were finished after the table was written."""
    later = [c for c in cells if not c.finished and c.result.is_file() and c.evaluation.is_file()]
    if not later:
        return []
    return [
        f"{len(later)} more cells have finished since the table was written; the same `semivox compare` "
        "command brings them in"
    ]


def _mean(numbers: Sequence[float | None]) -> float | None:
    there = [n for n in numbers if n is not None]
    return fmean(there) if there else None
