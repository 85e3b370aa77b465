"""The metrics: a row each, with all there is to know of it. Files, tables, pages and docs read these rows.

A metric more is a row more, and its function, see ``docs/how-to/add-a-metric.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

import numpy as np

from semivox.evaluation.surface import SurfaceDistances, surface_distances

Policy = Literal["default", "literature"]
Unit = Literal["", "mm", "voxels", "ml", "%"]
SUFFIX: Mapping[Unit, str] = {"": "", "mm": "_mm", "voxels": "_vox", "ml": "_ml", "%": "_rel"}
"""What a unit adds to a metric's name in files; a percentage is a part of 1 there."""
DIAGONAL: Literal["diagonal"] = "diagonal"


@dataclass(frozen=True)
class MaskPair:
    """One class of one case: what a metric is computed from.

    Parameters
    ----------
    prediction, reference
        Boolean masks of one shape ``(X, Y[, Z])``; they may be crops that hold all of both.
    spacing_mm
        Distance between neighbouring voxels along each axis; None where nobody knows it.
    image_shape
        Of the whole image.
    tolerance_mm
        Surface distance up to which a surface voxel counts as right.
    axes_mm
        ``(3, d)``: the step to the next voxel along each axis, in mm, where the axes are not at right angles.
    """

    prediction: np.ndarray
    reference: np.ndarray
    spacing_mm: tuple[float, ...] | None
    image_shape: tuple[int, ...]
    tolerance_mm: float
    axes_mm: np.ndarray | None = None

    @property
    def voxel_mm3(self) -> float:
        """The volume of a voxel of a 3D image."""
        if self.axes_mm is not None:
            return abs(float(np.linalg.det(self.axes_mm)))
        return math.prod(self.spacing(in_mm=True))

    @cached_property
    def predicted_voxels(self) -> int:
        return int(np.count_nonzero(self.prediction))

    @cached_property
    def reference_voxels(self) -> int:
        return int(np.count_nonzero(self.reference))

    @cached_property
    def overlap_voxels(self) -> int:
        return int(np.count_nonzero(self.prediction & self.reference))

    @cached_property
    def _distances(self) -> list[SurfaceDistances]:
        steps: list[tuple[float, ...] | np.ndarray] = [self.spacing(in_mm=False)]
        if self.spacing_mm is not None:
            steps.append(self.spacing_mm if self.axes_mm is None else self.axes_mm)
        return surface_distances(self.prediction, self.reference, *steps)

    def distances(self, in_mm: bool) -> SurfaceDistances:
        """Both directed sets of surface distances, in mm or in voxels; neither mask may be empty."""
        return self._distances[int(in_mm)]

    def spacing(self, in_mm: bool) -> tuple[float, ...]:
        """In mm, or 1 along each axis."""
        if not in_mm:
            return (1.0,) * len(self.image_shape)
        if self.spacing_mm is None:
            raise ValueError("the spacing is not known")
        return self.spacing_mm

    def diagonal(self, in_mm: bool) -> float:
        """Of the whole image; the longest where its axes are not at right angles."""
        if in_mm and self.axes_mm is not None:
            edges = self.axes_mm * self.image_shape
            signs = product((1, -1), repeat=len(self.image_shape))
            return float(max(np.linalg.norm(edges @ np.array(sign)) for sign in signs))
        return float(np.linalg.norm(np.asarray(self.image_shape, float) * np.asarray(self.spacing(in_mm))))


@dataclass(frozen=True)
class Metric:
    """A row.

    Parameters
    ----------
    quantity, unit
        What is measured and in what; together they are the ``name`` in files.
    heading
        The quantity in tables; ``title`` has the unit too.
    decimals
        In everything that is made for people, in ``unit``. Files keep all digits.
    better
        Which numbers are: "zero" is an error with a sign, which says nothing of who is better.
    best
        The value where both masks are empty.
    worst
        The value where one of them is; DIAGONAL: that of the image, or 0 under the policy "literature". None:
        neither rule holds, ``measure`` is asked there too.
    definition
        For the evaluation file's ``policy`` and the docs; of one quantity only one.
    measure
        Computes it, in mm, voxels, ml or as a part of 1.
    at_tolerance
        It depends on the tolerance in mm.
    in_pages
        False: only in the terminal and in files, as too much for a page's table.
    """

    quantity: str
    unit: Unit
    heading: str
    decimals: int
    better: Literal["higher", "lower", "zero"]
    best: float
    worst: float | Literal["diagonal"] | None
    definition: str
    measure: Callable[[MaskPair], float | None]
    at_tolerance: bool = False
    in_pages: bool = True

    @property
    def name(self) -> str:
        """In files and in Python."""
        return self.quantity + SUFFIX[self.unit]

    @property
    def needs_spacing(self) -> bool:
        """It does not exist where the spacing is not known."""
        return self.unit in ("mm", "ml") or self.at_tolerance

    @property
    def higher_is_better(self) -> bool:
        return self.better == "higher"

    @property
    def diagonal_where_empty(self) -> bool:
        """Where one of both masks is empty it is the image's diagonal, unless the policy says otherwise."""
        return self.worst == DIAGONAL

    @property
    def scale(self) -> int:
        """What a file's number is multiplied with for people."""
        return 100 if self.unit == "%" else 1

    def title(self, voxels: str = "voxels", tolerance_mm: float | None = None) -> str:
        """Heading and unit: ``HD95, mm``. ``voxels`` is what the grid's elements are called."""
        if self.at_tolerance and tolerance_mm is not None:
            return f"{self.heading} at {tolerance_mm:g} mm"
        unit = voxels if self.unit == "voxels" else self.unit
        return f"{self.heading}, {unit}" if unit else self.heading

    def text(self, value: float | None, interval: Iterable[float] | None = None, sign: str = "") -> str:
        """``0.875 [0.851, 0.899]``, or a dash. ``sign`` "+" shows that of positive numbers too."""
        if value is None or not math.isfinite(value):
            return "-"
        shown = f"{self.scale * value:{sign}.{self.decimals}f}"
        if interval is not None:
            ends = ", ".join(f"{self.scale * end:{sign}.{self.decimals}f}" for end in interval)
            shown += f" [{ends}]"
        return shown

    def of(self, pair: MaskPair, policy: Policy) -> float | None:
        """The number of one pair of masks; None where there is none."""
        if self.needs_spacing and pair.spacing_mm is None:
            return None
        empty = (pair.predicted_voxels == 0) + (pair.reference_voxels == 0)
        if empty == 0 or self.worst is None:
            return self.measure(pair)
        if empty == 2:
            return self.best
        if self.worst == DIAGONAL:
            return pair.diagonal(self.unit == "mm") if policy == "default" else 0.0
        return self.worst


def overlap_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """2 |P and R| / (|P| + |R|) of two boolean masks; 1 where both are empty."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(prediction & reference)) / total if total else 1.0


def _dice(pair: MaskPair) -> float:
    return 2 * pair.overlap_voxels / (pair.predicted_voxels + pair.reference_voxels)


def _jaccard(pair: MaskPair) -> float:
    return pair.overlap_voxels / (pair.predicted_voxels + pair.reference_voxels - pair.overlap_voxels)


def _hd95(pair: MaskPair, in_mm: bool) -> float:
    return float(np.percentile(np.concatenate(pair.distances(in_mm)), 95))


def _assd(pair: MaskPair) -> float:
    return float(np.concatenate(pair.distances(in_mm=True)).mean())


def _asd(pair: MaskPair, in_mm: bool) -> float:
    return float(pair.distances(in_mm).to_reference.mean())


def _nsd(pair: MaskPair) -> float:
    # Spacings come from float32 headers: a distance of exactly the tolerance must not miss it.
    return float(np.mean(np.concatenate(pair.distances(in_mm=True)) <= pair.tolerance_mm * (1 + 1e-6)))


def _volume_error_ml(pair: MaskPair) -> float | None:
    if len(pair.image_shape) != 3:
        return None
    return (pair.predicted_voxels - pair.reference_voxels) * pair.voxel_mm3 / 1000.0


def _volume_error_rel(pair: MaskPair) -> float | None:
    if not pair.reference_voxels:
        return None
    return (pair.predicted_voxels - pair.reference_voxels) / pair.reference_voxels


HD95 = "95th percentile (linear interpolation) of both directed sets of surface distances, pooled"
ASD = "mean distance from the prediction's surface voxels to the reference's surface"
VOLUME_ERROR = (
    "prediction minus reference; ml in 3D only (null in 2D), rel is relative to the "
    "reference and null where the reference is empty"
)
ROWS = (
    Metric("dice", "", "Dice", 3, "higher", 1.0, 0.0, "2 |P and R| / (|P| + |R|)", _dice),
    Metric("jaccard", "", "Jaccard", 3, "higher", 1.0, 0.0, "|P and R| / |P or R|", _jaccard),
    Metric("hd95", "mm", "HD95", 2, "lower", 0.0, DIAGONAL, HD95, lambda pair: _hd95(pair, in_mm=True)),
    Metric(
        "assd", "mm", "ASSD", 2, "lower", 0.0, DIAGONAL,
        "mean of both directed sets of surface distances, pooled (each surface voxel counts once)", _assd,
    ),
    Metric(
        "asd", "mm", "ASD", 2, "lower", 0.0, DIAGONAL, ASD, lambda pair: _asd(pair, in_mm=True),
        in_pages=False,
    ),
    Metric(
        "nsd", "", "NSD", 3, "higher", 1.0, 0.0,
        "share of surface voxels, both surfaces pooled, within the tolerance of the other surface", _nsd,
        at_tolerance=True,
    ),
    Metric("volume_error", "ml", "Volume error", 2, "zero", 0.0, None, VOLUME_ERROR, _volume_error_ml),
    Metric("volume_error", "%", "Volume error", 1, "zero", 0.0, None, VOLUME_ERROR, _volume_error_rel),
    Metric("hd95", "voxels", "HD95", 2, "lower", 0.0, DIAGONAL, HD95, lambda pair: _hd95(pair, in_mm=False)),
    Metric("asd", "voxels", "ASD", 2, "lower", 0.0, DIAGONAL, ASD, lambda pair: _asd(pair, in_mm=False)),
)  # fmt: skip
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in ROWS}
"""By name, in the order of the evaluation file."""
COMPARED = tuple(name for name, metric in METRICS.items() if metric.better != "zero")
"""The metrics by which one prediction can be better than another."""
DICE = METRICS["dice"]


def spacing_was_known(rows: Iterable[Mapping[str, float | None]]) -> bool:
    """Whether numbers by metric were measured with a known spacing: one that needs it is there."""
    needing = [name for name, metric in METRICS.items() if metric.needs_spacing]
    return any(row.get(name) is not None for row in rows for name in needing)


def metrics_for_people(spacing_known: bool) -> list[Metric]:
    """What tables show: distances in mm where the spacing is known, else in voxels."""
    return [
        metric
        for metric in METRICS.values()
        if not (metric.unit == "voxels" if spacing_known else metric.needs_spacing)
    ]


def hausdorff(spacing_known: bool) -> Metric:
    """The one distance of short tables: HD95, in mm where the spacing is known, else in voxels."""
    return METRICS["hd95_mm" if spacing_known else "hd95_vox"]


def empty_pairs(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(case, class) of an evaluation where one of both masks is empty and the image's diagonal is the
    distance."""
    if evaluation.get("policy", {}).get("name") == "literature":
        return []
    # no overlap, and no voxel predicted (an error of -100 %) or none in the reference (no such error)
    return [
        (case, value)
        for case, classes in evaluation["cases"].items()
        for value, scores in classes.items()
        if scores.get("dice") == 0 and scores.get("volume_error_rel") in (-1, None)
    ]


def empty_masks(evaluation: Mapping[str, Any]) -> int:
    """How many such pairs there are."""
    return len(empty_pairs(evaluation))


def policy_text(policy: Policy, tolerance_mm: float, spacing_known: bool) -> dict[str, object]:
    """The definitions behind the numbers, as they stand in the evaluation file."""
    diagonal = "0" if policy == "literature" else "the diagonal of the image (shape times spacing)"
    absent = [m.name for m in METRICS.values() if m.needs_spacing and m.unit != "mm"]
    unknown = f"unknown: *_mm, {', '.join(absent[:-1])} and {absent[-1]} are null"
    return {
        "name": policy,
        **{metric.quantity: metric.definition for metric in METRICS.values()},
        "surface": "voxels of the mask with a face neighbour outside it; outside the image counts as outside",
        "tolerance_mm": tolerance_mm,
        "vox": "the same distances with every voxel edge 1",
        "both_empty": _where_empty(lambda metric: f"{metric.best:g}"),
        "one_empty": _where_empty(
            lambda metric: diagonal if metric.worst == DIAGONAL else f"{metric.worst:g}"
        ),
        "ignore": "voxels with the reference's ignore value become background in both before anything else",
        "annotated": "a class that is not annotated in a case has no row there",
        "spacing": "known" if spacing_known else unknown,
        "mean": "over cases that have the number; foreground: over the classes of a case, then over cases",
    }


def _where_empty(value: Callable[[Metric], str]) -> str:
    """``dice, jaccard, nsd 1; distances 0``: who takes which value by rule."""
    taking: dict[tuple[bool, str], dict[str, None]] = {}
    for metric in METRICS.values():
        if metric.worst is not None:
            far = metric.worst == DIAGONAL
            taking.setdefault((far, value(metric)), {})["distances" if far else metric.quantity] = None
    return "; ".join(f"{', '.join(names)} {text}" for (_, text), names in taking.items())
