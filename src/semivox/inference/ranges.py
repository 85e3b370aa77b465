"""What the training scans looked like, and in which points a new scan or its segmentation departs from it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semivox.cohort import Case, Cohort, Split, Volume, cohort_spacing, read_case, read_geometry, read_label
from semivox.errors import DataError
from semivox.inference.segmentation import Segmentation
from semivox.numerals import show_number
from semivox.prepare.targets import filled_label

STATISTICS = {"low": "the 0.5th percentile", "mean": "the mean", "high": "the 99.5th percentile"}
MOST_CASES = 24
SPACING_FACTOR = 1.5
SIZE_FACTOR = 3.0
INTENSITY_SPAN = 0.5
"""How far outside the training range is still usual: a factor, or a part of the intensities' whole range."""


def training_ranges(cohort: Cohort, split: Split) -> dict[str, Any]:
    """Ranges (low, high) over the training scans, as JSON; labels of labelled cases only are opened.

    ``placed``: whether 3D scans tell which way their axes run; None where only some do. ``spacing_mm``: of
    each axis, finest first; empty unless every scan tells it. ``intensity``: for each
    channel the percentiles 0.5 and 99.5 and the mean. ``classes``: for each label value, ``size`` (ml, or
    voxels where spacing is not known or in 2D) and ``components`` over the cases that hold it, and the shares
    ``present`` and ``border_contact`` of cases. ``MOST_CASES`` images and labels are read, labelled cases
    first; what can no longer be read is left out.
    """
    spacings: list[list[float]] = []
    placed: set[bool] = set()
    statistics: list[list[list[float]]] = []
    measured: dict[int, list[tuple[float, int, int]]] = {number: [] for number in cohort.structures}
    known = _spacing_known(cohort, split)
    for index, case in enumerate([*split.labeled, *split.unlabeled][:MOST_CASES]):
        with contextlib.suppress(DataError):  # a run that is done must not fail for this
            image = read_case(case)
            placed.add(image.placed)
            if known and image.spacing_mm is not None:
                spacings.append(sorted(image.spacing_mm))
            statistics.append([_statistics(image, channel) for channel in range(image.channels)])
            if index < len(split.labeled):
                for value, numbers in _measure_label(case, cohort, image, known).items():
                    measured[value].append(numbers)
    return {
        "cases": len(statistics),
        "placed": placed.pop() if len(placed) == 1 else None,
        "spacing_mm": _ranges(np.array(spacings)).tolist() if spacings else [],
        "intensity": [
            dict(zip(STATISTICS, ranges, strict=True))
            for ranges in (_ranges(np.array(statistics)).tolist() if statistics else [])
        ],
        "classes": {str(value): _class_range(numbers) for value, numbers in measured.items() if numbers},
    }


def joined_ranges(trainings: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """What was usual in any of several trainings on the same channels and classes; None where none tells."""
    known = [training for training in trainings if training is not None]
    if not known:
        return None
    classes: dict[str, list[Mapping[str, Any]]] = {}
    for training in known:
        for value, row in training["classes"].items():
            classes.setdefault(value, []).append(row)
    placed = {training.get("placed") for training in known}
    return {
        "placed": placed.pop() if len(placed) == 1 else None,
        "spacing_mm": _hulls([training["spacing_mm"] for training in known]),
        "intensity": [
            {name: _hulls([[row[name]] for row in rows])[0] for name in STATISTICS}
            for rows in zip(*(t["intensity"] for t in known if t["intensity"]), strict=True)
        ],
        "classes": {
            value: {
                "present": min(row["present"] for row in rows),
                "border_contact": max(row["border_contact"] for row in rows),
                **{name: _hull_or_none([row[name] for row in rows]) for name in ("size", "components")},
            }
            for value, rows in classes.items()
        },
    }


def _hulls(lists: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """Of lists of as many ranges, those that hold the ranges in the same place; empty lists do not count."""
    stacked = np.array([each for each in lists if each])
    return np.stack([stacked[..., 0].min(0), stacked[..., 1].max(0)], -1).tolist() if len(stacked) else []


def _hull_or_none(ranges: Sequence[Sequence[float] | None]) -> list[float] | None:
    found = _hulls([[each] for each in ranges if each is not None])
    return found[0] if found else None


def _spacing_known(cohort: Cohort, split: Split) -> bool:
    statuses = []
    for case in (*split.labeled, *split.unlabeled):
        with contextlib.suppress(DataError):
            statuses.append(read_geometry(case.images[0]).spacing_status)
    return cohort_spacing(cohort.spacing_known, statuses) == "known"


def _ranges(numbers: np.ndarray) -> np.ndarray:
    """(cases, ...) -> (..., 2): the lowest and the highest."""
    return np.stack([numbers.min(0), numbers.max(0)], -1)


def departures(
    segmentation: Segmentation, training: Mapping[str, Any] | None, may_be_empty: tuple[int, ...] = ()
) -> list[str]:
    """Reasons to look at a segmentation, in words; none: it resembles the training cases.

    ``training`` is what :func:`training_ranges` gave (None: unknown; then only a mask without any foreground
    is a reason, and what the scan itself has against it).
    """
    volume, usual = segmentation.volume, training["intensity"] if training else ()
    statistics = [_statistics(volume, channel) for channel in range(volume.channels)]
    reasons = [*volume.notes, *_blank(statistics, usual)]
    if training is None:
        return [*reasons, *([] if any(segmentation.voxels.values()) else ["no foreground was found"])]
    reasons += _otherwise_placed(volume, training.get("placed"))
    for value, name in sorted(segmentation.classes.items()):
        known = training["classes"].get(str(value))
        if known is not None:
            reasons += _class_departures(segmentation, value, name, known, value in may_be_empty)
    if segmentation.spacing_known and training["spacing_mm"]:
        spacing = segmentation.volume.spacing_mm
        if spacing is None:
            usual = " x ".join(f"{high:.3g}" for _, high in training["spacing_mm"])
            reasons.append(f"the file does not tell its spacing, in training up to {usual} mm")
        for s, (low, high) in zip(sorted(spacing or ()), training["spacing_mm"], strict=spacing is not None):
            if not low / SPACING_FACTOR <= s <= high * SPACING_FACTOR:
                reasons.append(f"spacing {s:.3g} mm, in training {low:.3g} to {high:.3g}")
    for channel, known in enumerate(training["intensity"]):
        far = INTENSITY_SPAN * (known["high"][1] - known["low"][0])
        for name, found in zip(STATISTICS, statistics[channel], strict=True):
            low, high = known[name]
            if not low - far <= found <= high + far:
                reasons.append(
                    f"unusual intensities: {STATISTICS[name]} of channel {channel} is "
                    f"{show_number(found, 4)}, in training {show_number(low, 4)} to {show_number(high, 4)}"
                )
    return reasons


def _otherwise_placed(volume: Volume, usual: bool | None) -> list[str]:
    """Where it must be guessed which way the axes run, left may be taken for right."""
    if usual is None or volume.dims != 3 or volume.placed == usual:
        return []
    if volume.placed:
        return ["the file tells which way its axes run, in training none did: it may be mirrored"]
    return ["the file does not tell which way its axes run, as it did in training: it may be mirrored"]


def _blank(statistics: Sequence[Sequence[float]], usual: Sequence[Mapping[str, Any]]) -> list[str]:
    """Channels that are one value nearly everywhere, unless that was ``usual``: what is found there was not
    seen."""
    reasons = []
    for channel, (low, _, high) in enumerate(statistics):
        ranges = [usual[channel][name] for name in ("low", "high")] if usual else []
        seen = bool(ranges) and all(least <= low <= most for least, most in ranges)
        if low == high and not seen:
            value = show_number(low, 4)
            reasons.append(f"nothing is to be seen: nearly all voxels of channel {channel} are {value}")
    return reasons


def _class_departures(
    segmentation: Segmentation, value: int, name: str, known: Mapping[str, Any], may_be_empty: bool
) -> list[str]:
    if segmentation.voxels[value] == 0:
        expected = known["present"] == 1 and not may_be_empty
        return [f"{name} is empty, as in no training case"] if expected else []
    reasons = []
    if segmentation.border_contact[value] and known["border_contact"] == 0:
        reasons.append(f"{name} touches the border, as in no training case")
    if known["components"] is not None:
        found, most = segmentation.components[value], known["components"][1]
        if found > 2 * most + 3:
            reasons.append(f"{name} has {found} pieces, in training at most {most}")
        low, high = known["size"]
        size, unit = _size(segmentation, value)
        if not low / SIZE_FACTOR <= size <= high * SIZE_FACTOR:
            usual = f"{show_number(low)} to {show_number(high)}"
            reasons.append(f"{name} has {show_number(size)} {unit}, in training {usual}")
    return reasons


def _measure_label(
    case: Case, cohort: Cohort, image: Volume, known: bool
) -> dict[int, tuple[float, int, int]]:
    """Value -> (size, components, border contact) of the classes annotated in a case."""
    assert case.label is not None
    label = read_label(case.label, image, regions=cohort.regions).array
    mask = filled_label(label, cohort.ignore)[0][0]
    parts = cohort.regions.parts
    truth = Segmentation(mask, image, cohort.structures, 0.0, known, parts=parts)  # labels often lack spacing
    return {
        number: (_size(truth, number)[0], truth.components[number], truth.border_contact[number])
        for number in cohort.structures_of(case)
    }


def _class_range(numbers: list[tuple[float, int, int]]) -> dict[str, Any]:
    """(size, components, border contact) of the cases -> their ranges over cases that hold the class."""
    present = [n for n in numbers if n[1] > 0]
    sizes, components = [n[0] for n in present], [n[1] for n in present]
    return {
        "present": len(present) / len(numbers),
        "border_contact": sum(n[2] > 0 for n in numbers) / len(numbers),
        "size": [min(sizes), max(sizes)] if present else None,
        "components": [min(components), max(components)] if present else None,
    }


def _size(segmentation: Segmentation, value: int) -> tuple[float, str]:
    millilitres = segmentation.volume_ml[value]
    if millilitres is None:
        return float(segmentation.voxels[value]), "voxels"
    return millilitres, "ml"


def _statistics(volume: Volume, channel: int) -> list[float]:
    """Low, mean and high of a channel; a large scan is thinned to about a million voxels."""
    step = max(1, int((np.prod(volume.shape) / 1e6) ** (1 / volume.dims)))
    thinned = volume.array[channel][(slice(None, None, step),) * volume.dims]
    low, high = np.percentile(thinned, [0.5, 99.5])
    return [float(low), float(thinned.mean(dtype=np.float64)), float(high)]
