"""One case's label maps -> the metrics of each class: every row of `semivox.evaluation.metrics` is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from scipy.ndimage import find_objects

from semivox.cohort import within
from semivox.errors import DataError, SettingsError
from semivox.evaluation.metrics import METRICS, MaskPair, Policy

FEW_VALUES = 1000
"""Up to this label value boxes are found for every number in turn."""

Scores = dict[str, float | None]
Box = tuple[slice, ...]


def case_metrics(
    prediction: np.ndarray,
    reference: np.ndarray,
    values: Sequence[int],
    spacing_mm: Sequence[float] | None,
    *,
    tolerance_mm: float = 2.0,
    ignore: int | None = None,
    policy: Policy = "default",
    annotated: Sequence[int] | None = None,
    paths: tuple[Path | None, Path | None] = (None, None),
    axes_mm: np.ndarray | None = None,
    parts: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> dict[int, Scores]:
    """Metrics of each class of one case.

    Parameters
    ----------
    prediction, reference
        Label maps of one shape ``(X, Y[, Z])``, integer.
    values
        Label values of the foreground classes.
    spacing_mm
        Distance between neighbouring voxels along each axis; None where nobody knows it: everything in mm
        or ml is None then.
    tolerance_mm
        Surface distance up to which a surface voxel counts as right in ``nsd``.
    ignore
        Voxels of this value in the reference are background in both before anything else. Where there are
        no others, no class gets a row.
    policy
        What distances are worth when one mask is empty: "default" the image's diagonal, "literature" 0.
    annotated
        Classes annotated in the reference; the others get no row. None: all.
    paths
        Files of prediction and reference, to be named in errors.
    axes_mm
        ``(3, d)``: the step to the next voxel along each axis where the axes are not at right angles, as of
        an affine; distances and volumes follow it. None: they are.
    parts
        Where regions are measured, of what label values each is made; ``values`` are then their numbers, and
        a region is annotated where all of its values are.

    Returns
    -------
    dict
        Label value, or number of a region -> the numbers named in `METRICS`.

    Raises
    ------
    DataError
        The shapes differ, or a value is neither background nor one of ``values``.
    """
    check_settings(policy, tolerance_mm)
    _refuse_other_shape(prediction, reference, paths[0])
    if prediction.flags.f_contiguous and reference.flags.f_contiguous:
        # No metric depends on the order of the axes; NumPy is fastest when the last one is contiguous.
        prediction, reference = prediction.T, reference.T
        spacing_mm = None if spacing_mm is None else spacing_mm[::-1]
        axes_mm = None if axes_mm is None else axes_mm[:, ::-1]
    if ignore is not None:
        counted = reference != ignore
        if not counted.any():  # of two empty masks the Dice would be 1, and nobody knows anything
            return {}
        prediction, reference = prediction * counted, reference * counted
    made_of = {number: tuple(parts.get(number, (number,))) for number in values}
    pairs = _pairs(prediction, reference, made_of, annotated, paths)
    how: dict[str, Any] = {"tolerance_mm": tolerance_mm, "policy": policy, "axes_mm": axes_mm}
    how["image_shape"] = prediction.shape
    return {number: class_metrics(*pair, spacing_mm, **how) for number, pair in pairs}


def _pairs(
    prediction: np.ndarray,
    reference: np.ndarray,
    made_of: Mapping[int, tuple[int, ...]],
    annotated: Sequence[int] | None,
    paths: tuple[Path | None, Path | None],
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Of each class that is annotated its two masks, cut to the box around both."""
    labels = sorted({value for own in made_of.values() for value in own})
    boxes_p = _boxes(prediction, labels, "prediction", paths[0])
    boxes_r = _boxes(reference, labels, "reference", paths[1])
    for number, own in made_of.items():
        if annotated is None or set(own) <= set(annotated):
            box = _union(*(boxes.get(value) for boxes in (boxes_p, boxes_r) for value in own))
            yield number, (within(prediction[box], own), within(reference[box], own))


def _refuse_other_shape(prediction: np.ndarray, reference: np.ndarray, path: Path | None) -> None:
    if prediction.shape != reference.shape:
        raise DataError(
            "prediction and reference differ in shape",
            path=path,
            found=prediction.shape,
            expected=reference.shape,
        )


def class_metrics(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float] | None,
    *,
    image_shape: Sequence[int] | None = None,
    tolerance_mm: float = 2.0,
    policy: Policy = "default",
    axes_mm: np.ndarray | None = None,
) -> Scores:
    """Metrics of one pair of boolean masks, which may be crops that hold all of both masks.

    ``image_shape`` is the shape of the whole image (None: the masks are not cropped); it gives the diagonal
    that stands for the distances when one mask is empty.
    """
    shape = tuple(prediction.shape if image_shape is None else image_shape)
    pair = MaskPair(
        prediction, reference, None if spacing_mm is None else tuple(spacing_mm), shape, tolerance_mm, axes_mm
    )
    return {name: metric.of(pair, policy) for name, metric in METRICS.items()}


def check_settings(policy: str, tolerance_mm: float) -> None:
    """Raise SettingsError for an unknown policy or a tolerance that is no distance."""
    if policy not in get_args(Policy):
        raise SettingsError("unknown evaluation policy", found=policy, expected=" or ".join(get_args(Policy)))
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise SettingsError("the surface tolerance is no distance", found=tolerance_mm, expected="mm, >= 0")


def _boxes(labels: np.ndarray, values: Sequence[int], name: str, path: Path | None) -> dict[int, Box]:
    """Bounding box of each label value that occurs; DataError for a value that is no class."""
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    there: Sequence[int] = range(1, FEW_VALUES + 1)  # most labels are their own ranks
    ranks = labels
    if labels.size and int(labels.max()) > FEW_VALUES:
        there, ranks = _ranked(labels)
    boxes = zip(there, find_objects(ranks), strict=False)
    found = {int(value): box for value, box in boxes if box is not None}
    strangers = sorted(set(found) - set(values))
    if labels.dtype.kind == "i" and labels.size and (lowest := int(labels.min())) < 0:
        strangers.insert(0, lowest)
    if strangers:
        raise DataError(
            f"the {name} holds values that are no class",
            path=path,
            found=", ".join(map(str, strangers[:8])) + (" ..." if len(strangers) > 8 else ""),
            expected=f"0 (background), {', '.join(map(str, values))}",
            remedy=_other_values(strangers, values, name),
        )
    return found


def _other_values(strangers: Sequence[int], values: Sequence[int], name: str) -> str:
    """What to do about values that are no class: pictures often have 255 where label files have 1."""
    if len(strangers) == len(values) == 1:
        value, stranger = values[0], strangers[0]
        way = f"in an array: mask[mask == {stranger}] = {value}"
        return f"write {value} in place of {stranger} in all {name} masks ({way})"
    return (
        f"give the {name} masks the values of the classes; if these are right, declare them under 'labels' "
        "in the dataset.json of the references and of the predictions, wherever there is one"
    )


def _ranked(labels: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The positive values that occur, and the labels as 1, 2, ... in their order (0 for all others).

    Work then grows with how many values there are, not with how large they are.
    """
    there = np.unique(labels[labels > 0])
    ranks = np.where(labels > 0, np.searchsorted(there, labels) + 1, 0)
    return [int(value) for value in there], ranks


def _union(*boxes: Box | None) -> Box:
    """The smallest box that holds the given ones; an empty box (of any dimension) for none."""
    there = [box for box in boxes if box is not None]
    if not there:
        return (slice(0, 0),)
    return tuple(
        slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*there, strict=True)
    )
