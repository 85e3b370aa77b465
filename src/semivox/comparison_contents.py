"""What the JSON files of a comparison hold, as :mod:`semivox.contents` says it of the others."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from semivox.contents import Intervals, MetricPolicy, Table, Worst


class ComparisonPolicy(TypedDict):
    """How methods were compared; what else stands there is shown as it is."""

    metrics: NotRequired[MetricPolicy | None]


class Asked(TypedDict):
    """What all cells of a comparison were asked for."""

    data: NotRequired[str]
    test: NotRequired[str | None]
    folds: NotRequired[int | None]
    steps: NotRequired[int | None]
    budget: NotRequired[float | None]
    recipe: NotRequired[str | None]
    settings: NotRequired[dict[str, Any] | None]
    plan: NotRequired[str | None]
    config: NotRequired[str | None]


class Request(TypedDict):
    """``request.json`` of a comparison."""

    fixed: Asked
    methods: NotRequired[dict[str, str]]
    labeled: NotRequired[dict[str, str]]
    cells: NotRequired[list[list[str | int]]]


class FinishedCell(TypedDict):
    """``cell.json``."""

    request: NotRequired[dict[str, Any]]
    steps: NotRequired[int | None]
    seconds: NotRequired[float | None]
    peak_memory_gib: NotRequired[float | None]
    dice: NotRequired[float | None]
    model_id: NotRequired[str]
    plan: NotRequired[str]
    precision: NotRequired[str | None]
    threads: NotRequired[int | None]
    device: NotRequired[str | None]
    processor: NotRequired[str | None]
    commit: NotRequired[str | None]
    torch: NotRequired[str | None]
    method_sha256: NotRequired[str | None]


class FailedCell(TypedDict):
    """``failed.json`` of a cell."""

    message: str
    time: NotRequired[float]
    error: NotRequired[str]
    traceback: NotRequired[str | None]


class ComparisonCell(TypedDict):
    variant: str
    labeled: str
    fold: str
    seed: int
    folder: str
    state: str
    method: NotRequired[str]
    error: NotRequired[str]
    steps: NotRequired[int | None]
    seconds: NotRequired[float | None]
    peak_memory_gib: NotRequired[float | None]


class Difference(TypedDict):
    mean: Table
    ci95: Intervals
    patients_better: dict[str, dict[str, int | None]]
    patients_worse: dict[str, dict[str, int | None]]
    patients_equal: dict[str, dict[str, int | None]]


class ComparisonRow(TypedDict):
    variant: str
    labeled: str
    seeds: list[int]
    incomplete: list[int]
    verdict: NotRequired[str]
    cases: NotRequired[int]
    patients: NotRequired[int]
    classes: NotRequired[dict[str, str]]
    mean: NotRequired[Table]
    ci95: NotRequired[Intervals]
    difference: NotRequired[Difference | None]
    worst: NotRequired[Worst | None]


class Comparison(TypedDict):
    """``comparison.json``."""

    reference: str
    results: list[ComparisonRow]
    cells: list[ComparisonCell]
    folds: NotRequired[list[str]]
    request: NotRequired[Asked]
    notes: NotRequired[list[str]]
    policy: NotRequired[ComparisonPolicy]
