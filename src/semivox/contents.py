"""What JSON files hold that semivox writes and reads back: checked whole when they are read.

Only what is read back stands here. Fields that were added later are ``NotRequired``, so old folders stay
readable, and fields that a reader does not know do not disturb it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from semivox.errors import DataError

Numbers = dict[str, float | None]
"""Metric -> value."""


class Status(TypedDict):
    """``status.json``."""

    state: NotRequired[str]
    step: NotRequired[int]
    pid: NotRequired[int]
    seconds: NotRequired[float | None]
    heartbeat: NotRequired[float]
    peak_memory_gib: NotRequired[float | None]


class CaseEntry(TypedDict):
    case: str
    role: str
    patient: NotRequired[str | None]
    sha256: NotRequired[str | None]
    files_sha256: NotRequired[str | None]
    label_sha256: NotRequired[str | None]
    annotated: NotRequired[list[int] | None]


class Cases(TypedDict):
    """``cases.json``."""

    cases: list[CaseEntry]
    parent: NotRequired[dict[str, Any] | None]


class RoleEntry(TypedDict):
    role: str


class Roles(TypedDict):
    """``cases.json`` for who only counts its cases."""

    cases: list[RoleEntry]


class Prediction(TypedDict):
    """A row of ``predictions.json``."""

    case: str
    status: str
    flag: str
    reason: NotRequired[str]
    model_id: NotRequired[str]
    weights: NotRequired[str]
    whole: NotRequired[bool | None]
    pieces: NotRequired[str | None]
    input_sha256: NotRequired[str | None]
    input_files_sha256: NotRequired[str | None]
    seconds: NotRequired[float | None]
    mask: NotRequired[str | None]
    volume_ml: NotRequired[Numbers]
    voxels: NotRequired[dict[str, int]]
    components: NotRequired[dict[str, int]]
    removed: NotRequired[dict[str, int]]
    border_contact: NotRequired[dict[str, int]]
    mean_entropy: NotRequired[float | None]


class Predictions(TypedDict):
    """``predictions.json``."""

    cases: list[Prediction]
    classes: NotRequired[dict[str, str]]
    spacing_known: NotRequired[bool]


class Outcomes(TypedDict):
    """``predictions.json`` as other programs may write it too: what became of each case."""

    cases: NotRequired[list[Outcome]]


class Outcome(TypedDict):
    case: str
    flag: NotRequired[str]
    status: NotRequired[str]
    reason: NotRequired[str | None]


class Evaluation(TypedDict):
    """``evaluation.json``."""

    classes: dict[str, str]
    mean: dict[str, Numbers]
    ci95: NotRequired[dict[str, dict[str, list[float] | None]]]
    worst: NotRequired[dict[str, dict[str, Any]]]
    policy: NotRequired[dict[str, Any]]
    missing: NotRequired[list[str]]
    unmatched: NotRequired[list[str]]
    refused: NotRequired[dict[str, str]]
    patients: NotRequired[dict[str, str]]
    cases: dict[str, dict[str, Numbers]]


class Source(TypedDict):
    """``source.json`` of an evaluation."""

    data: NotRequired[str]


class CalibrationEntry(TypedDict):
    label_sha256: NotRequired[str]
    reference_voxels: NotRequired[dict[str, int]]
    count: NotRequired[list[float]]


class Calibration(TypedDict):
    """``calibration.json``."""

    cases: dict[str, CalibrationEntry]


class Environment(TypedDict):
    """``environment.json``."""

    python: NotRequired[str | None]
    packages: NotRequired[dict[str, str | None]]
    threads: NotRequired[int]
    processes: NotRequired[int]
    cores: NotRequired[float | None]
    memory_gib: NotRequired[float | None]
    device: NotRequired[str | None]
    precision: NotRequired[str | None]
    processor: NotRequired[str | None]
    commit: NotRequired[str | None]
    system: NotRequired[str | None]
    method_sha256: NotRequired[str]


class ShownCard(TypedDict):
    """``model.json`` as far as pages show it; whoever predicts checks all of it."""

    model_id: str
    predictor: list[str]
    method: NotRequired[str]
    steps: NotRequired[int]
    seed: NotRequired[int]
    labels: NotRequired[dict[str, str]]
    may_be_empty: NotRequired[list[int]]
    undertrained: NotRequired[str | None]
    training: NotRequired[ShownTraining | None]
    plan: NotRequired[ShownPlan | None]
    parent: NotRequired[dict[str, Any] | None]


class ShownTraining(TypedDict):
    classes: NotRequired[dict[str, dict[str, Any]]]


class ShownPlan(TypedDict):
    dims: NotRequired[int]


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


class ComparisonRow(TypedDict):
    variant: str
    labeled: str
    seeds: list[int]
    incomplete: list[int]
    verdict: NotRequired[str]
    cases: NotRequired[int]
    patients: NotRequired[int]
    classes: NotRequired[dict[str, str]]
    mean: NotRequired[dict[str, Numbers]]
    ci95: NotRequired[dict[str, dict[str, list[float] | None]]]
    difference: NotRequired[dict[str, Any] | None]
    worst: NotRequired[dict[str, Any] | None]


class Comparison(TypedDict):
    """``comparison.json``."""

    reference: str
    results: list[ComparisonRow]
    cells: list[ComparisonCell]
    folds: NotRequired[list[str]]
    request: NotRequired[dict[str, Any]]
    notes: NotRequired[list[str]]
    policy: NotRequired[dict[str, Any]]


def check_content(content: Any, kind: Any, path: Path, remedy: str) -> None:
    """Raise DataError, which names the first wrong field, unless ``content`` is as ``kind`` says."""
    from pydantic import ValidationError

    try:
        _adapter(kind).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        value = "nothing" if first["type"] == "missing" else f"{first['input']!r}"
        raise DataError(
            f"{field} is not as semivox writes it" if field else "is not as semivox writes it",
            path=path,
            found=value[:200],
            expected=first["msg"],
            remedy=remedy,
        ) from None


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
