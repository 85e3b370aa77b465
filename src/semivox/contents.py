"""What JSON files hold that semivox writes and reads back: checked whole when they are read.

Only what is read back stands here. Fields that were added later are ``NotRequired``, so old folders stay
readable, and fields that a reader does not know do not disturb it.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

Numbers = dict[str, float | None]
"""Metric -> value."""
Table = dict[str, Numbers]
"""Class, or "foreground" -> metric -> value."""
Intervals = dict[str, dict[str, list[float | None] | None]]
"""As a table, lower and upper end in place of a value."""

MEAN_OF_CLASSES = "mean of classes"
"""What people read for the key ``foreground``, which is no union of the classes."""


class Status(TypedDict):
    """``status.json``."""

    state: NotRequired[str]
    step: NotRequired[int]
    pid: NotRequired[int]
    seconds: NotRequired[float | None]
    heartbeat: NotRequired[float]
    peak_memory_gib: NotRequired[float | None]


class MachineSpeed(TypedDict):
    """``speed-KEY.json`` in the user's cache."""

    times: float
    quiet: bool
    measured: float


class CaseEntry(TypedDict):
    case: str
    role: str
    patient: NotRequired[str | None]
    sha256: NotRequired[str | None]
    files_sha256: NotRequired[str | None]
    label_sha256: NotRequired[str | None]
    annotated: NotRequired[list[int] | None]


class Parent(TypedDict):
    """The run that another one begins with."""

    path: NotRequired[str]
    model_id: str
    method: NotRequired[str]
    steps: NotRequired[int]
    undertrained: NotRequired[str | None]
    labeled_then: NotRequired[int | None]
    labeled_now: NotRequired[int]
    fresh_heads: NotRequired[bool]


class Cases(TypedDict):
    """``cases.json``."""

    task: NotRequired[dict[str, object] | None]
    cases: list[CaseEntry]
    parent: NotRequired[Parent | None]
    learned_before: NotRequired[list[str]]


class RoleEntry(TypedDict):
    role: str


class Roles(TypedDict):
    """``cases.json`` for who only counts its cases."""

    cases: list[RoleEntry]


class RunOfMask(TypedDict):
    """A run that made a mask, and the working axes along which it saw mirror images, too."""

    model_id: str
    weights: str
    mirror_axes: list[int]


class Said(TypedDict):
    """Of a structure in a :class:`Promised`: of Dice, or of millilitres."""

    expected: NotRequired[float]
    at_least: NotRequired[float]
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    level: float


class Promised(TypedDict):
    """What a mask is said to be worth."""

    agreement: str
    patients: int
    dice: dict[str, Said]
    volume_ml: dict[str, Said]
    outside: list[str]


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
    runs: NotRequired[list[RunOfMask]]
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
    agreement: NotRequired[dict[str, dict[str, float]]]
    appearance: NotRequired[dict[str, list[float]]]
    promise: NotRequired[Promised | None]


class EnsembleFolder(TypedDict):
    """``ensemble.json``."""

    runs: list[str]


class Predictions(TypedDict):
    """``predictions.json``."""

    cases: list[Prediction]
    classes: NotRequired[dict[str, str]]
    regions: NotRequired[dict[str, list[int]]]
    spacing_known: NotRequired[bool]


class Outcomes(TypedDict):
    """``predictions.json`` as other programs may write it too: what became of each case."""

    cases: NotRequired[list[Outcome]]


class Outcome(TypedDict):
    case: str
    flag: NotRequired[str]
    status: NotRequired[str]
    reason: NotRequired[str | None]


class Worst(TypedDict):
    case: str
    dice: NotRequired[float | None]


class MetricPolicy(TypedDict):
    """How metrics were measured; what else stands there is shown as it is."""

    name: NotRequired[str]
    tolerance_mm: NotRequired[float | None]


class Evaluation(TypedDict):
    """``evaluation.json``."""

    classes: dict[str, str]
    regions: NotRequired[dict[str, list[int]]]
    mean: Table
    ci95: Intervals
    worst: NotRequired[dict[str, Worst | None]]
    policy: NotRequired[MetricPolicy]
    missing: NotRequired[list[str]]
    unmatched: NotRequired[list[str]]
    refused: NotRequired[dict[str, str]]
    patients: NotRequired[dict[str, str]]
    cases: dict[str, Table]


class Source(TypedDict):
    """``source.json`` of an evaluation."""

    data: NotRequired[str]


class Imported(TypedDict):
    """What ``import`` says in ``dataset.json`` for people alone."""

    note: NotRequired[str]


class CalibrationEntry(TypedDict):
    label_sha256: NotRequired[str]
    reference_voxels: NotRequired[dict[str, int]]
    count: NotRequired[list[float]]
    confidence: NotRequired[list[float]]
    correct: NotRequired[list[float]]


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


class AnyLine(TypedDict):
    """What every line of ``metrics.jsonl`` may hold."""

    kind: str
    stage: NotRequired[str]
    elapsed: NotRequired[float]


class JournalLine(AnyLine):
    """A line that is of no kind below."""

    step: NotRequired[int]


class StepLine(AnyLine):
    """Of kind "step"."""

    step: int
    terms: NotRequired[Numbers]
    weights: NotRequired[Numbers]
    lr: NotRequired[Numbers]
    seconds: NotRequired[float]
    data_seconds: NotRequired[float]


class WatchLine(AnyLine):
    """Of kind "watch"."""

    step: int
    dice: Numbers


class Tracked(TypedDict):
    """A run's note of where MLflow has it."""

    tracking: str
    run_id: str


class Synced(TypedDict):
    """A run's note of what Weights & Biases calls it."""

    id: str


class StoreEntry(TypedDict):
    """``meta.json`` of a prepared scan or label."""

    format: int
    shape: list[int]
    spacing: list[float]
    native_shape: NotRequired[list[int]]
    files: dict[str, int]


class PseudoLabelRow(TypedDict):
    """``case.json`` of a pseudo-label."""

    index: int
    case: str
    files: dict[str, int]
    volumes: NotRequired[list[float]]
    laziness: NotRequired[list[float] | None]
    agreement: NotRequired[float]
    confidences: NotRequired[list[list[int]]]
    seconds: NotRequired[float]


class Generation(TypedDict):
    """``manifest.json`` of pseudo-labels."""

    stage: str
    index: int
    part: list[int]
    rows: list[PseudoLabelRow]
    floors: NotRequired[list[float]]
    refused: NotRequired[str | None]
