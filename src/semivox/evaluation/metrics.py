"""Metrics of one case: how well a predicted label map agrees with its reference, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from scipy.ndimage import find_objects

from semivox.errors import DataError, SettingsError
from semivox.evaluation.surface import surface_distances

Policy = Literal["default", "literature"]
Scores = dict[str, float | None]

METRICS = (
    "dice",
    "jaccard",
    "hd95_mm",
    "assd_mm",
    "asd_mm",
    "nsd",
    "volume_error_ml",
    "volume_error_rel",
    "hd95_vox",
    "asd_vox",
)
HIGHER_IS_BETTER = frozenset({"dice", "jaccard", "nsd"})

Box = tuple[slice, ...]


def policy_text(policy: Policy, tolerance_mm: float, spacing_known: bool) -> dict[str, object]:
    """The definitions behind the numbers, as they stand in the evaluation file."""
    one_empty = "0" if policy == "literature" else "the diagonal of the image (shape times spacing)"
    units = "known" if spacing_known else "unknown: *_mm, nsd and volume_error_ml are null"
    return {
        "name": policy,
        "dice": "2 |P and R| / (|P| + |R|)",
        "jaccard": "|P and R| / |P or R|",
        "surface": "voxels of the mask with a face neighbour outside it; outside the image counts as outside",
        "hd95": "95th percentile (linear interpolation) of both directed sets of surface distances, pooled",
        "asd": "mean distance from the prediction's surface voxels to the reference's surface",
        "assd": "mean of both directed sets of surface distances, pooled (each surface voxel counts once)",
        "nsd": "share of surface voxels, both surfaces pooled, within the tolerance of the other surface",
        "tolerance_mm": tolerance_mm,
        "volume_error": "prediction minus reference; ml in 3D only (null in 2D), rel is relative to the "
        "reference and null where the reference is empty",
        "vox": "the same distances with every voxel edge 1",
        "both_empty": "dice, jaccard, nsd 1; distances 0",
        "one_empty": f"dice, jaccard, nsd 0; distances {one_empty}",
        "ignore": "voxels with the reference's ignore value become background in both before anything else",
        "annotated": "a class that is not annotated in a case has no row there",
        "spacing": units,
        "mean": "over cases that have the number; foreground: over the classes of a case, then over cases",
    }


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
        Voxels of this value in the reference are background in both before anything else.
    policy
        What distances are worth when one mask is empty: "default" the image's diagonal, "literature" 0.
    annotated
        Classes annotated in the reference; the others get no row. None: all.
    paths
        Files of prediction and reference, to be named in errors.

    Returns
    -------
    dict
        Label value -> the numbers named in `METRICS`.

    Raises
    ------
    DataError
        The shapes differ, or a value is neither background nor one of ``values``.
    """
    check_settings(policy, tolerance_mm)
    if prediction.shape != reference.shape:
        raise DataError(
            "prediction and reference differ in shape",
            path=paths[0],
            found=prediction.shape,
            expected=reference.shape,
        )
    if prediction.flags.f_contiguous and reference.flags.f_contiguous:
        # No metric depends on the order of the axes; NumPy is fastest when the last one is contiguous.
        prediction, reference = prediction.T, reference.T
        spacing_mm = None if spacing_mm is None else spacing_mm[::-1]
    if ignore is not None:
        counted = reference != ignore
        prediction, reference = prediction * counted, reference * counted
    boxes_p = _boxes(prediction, values, "prediction", paths[0])
    boxes_r = _boxes(reference, values, "reference", paths[1])
    rows: dict[int, Scores] = {}
    for value in values if annotated is None else [v for v in values if v in annotated]:
        box = _union(boxes_p.get(value), boxes_r.get(value))
        rows[value] = class_metrics(
            prediction[box] == value,
            reference[box] == value,
            spacing_mm,
            image_shape=prediction.shape,
            tolerance_mm=tolerance_mm,
            policy=policy,
        )
    return rows


def class_metrics(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float] | None,
    *,
    image_shape: Sequence[int] | None = None,
    tolerance_mm: float = 2.0,
    policy: Policy = "default",
) -> Scores:
    """Metrics of one pair of boolean masks, which may be crops that hold all of both masks.

    ``image_shape`` is the shape of the whole image (None: the masks are not cropped); it gives the diagonal
    that stands for the distances when one mask is empty.
    """
    shape = np.asarray(prediction.shape if image_shape is None else image_shape, dtype=np.float64)
    n_p, n_r = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    overlap = int(np.count_nonzero(prediction & reference))
    scores: Scores = dict.fromkeys(METRICS)
    scores["dice"] = overlap_dice(prediction, reference)
    scores["jaccard"] = overlap / (n_p + n_r - overlap) if n_p + n_r else 1.0
    scores["volume_error_rel"] = (n_p - n_r) / n_r if n_r else None
    if spacing_mm is not None and shape.size == 3:
        scores["volume_error_ml"] = (n_p - n_r) * math.prod(spacing_mm) / 1000.0
    voxels = (1.0,) * shape.size
    if n_p and n_r:
        spacings = (voxels,) if spacing_mm is None else (voxels, tuple(spacing_mm))
        in_vox, *in_mm = surface_distances(prediction, reference, *spacings)
        scores["hd95_vox"] = _percentile_95(*in_vox)
        scores["asd_vox"] = float(in_vox.to_reference.mean())
        for distances in in_mm:
            pooled = np.concatenate(distances)
            scores["hd95_mm"] = _percentile_95(*distances)
            scores["assd_mm"] = float(pooled.mean())
            scores["asd_mm"] = float(distances.to_reference.mean())
            # Spacings come from float32 headers: a distance of exactly the tolerance must not miss it.
            scores["nsd"] = float(np.mean(pooled <= tolerance_mm * (1 + 1e-6)))
        return scores

    def distance(spacing: Sequence[float]) -> float:
        alone = n_p + n_r > 0 and policy == "default"
        return float(np.linalg.norm(shape * np.asarray(spacing))) if alone else 0.0

    scores["hd95_vox"] = scores["asd_vox"] = distance(voxels)
    if spacing_mm is not None:
        scores["hd95_mm"] = scores["assd_mm"] = scores["asd_mm"] = distance(spacing_mm)
        scores["nsd"] = 0.0 if n_p + n_r else 1.0
    return scores


def overlap_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """2 |P and R| / (|P| + |R|) of two boolean masks; 1 where both are empty."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(prediction & reference)) / total if total else 1.0


def check_settings(policy: str, tolerance_mm: float) -> None:
    """Raise SettingsError for an unknown policy or a tolerance that is no distance."""
    if policy not in get_args(Policy):
        raise SettingsError("unknown evaluation policy", found=policy, expected=" or ".join(get_args(Policy)))
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise SettingsError("the surface tolerance is no distance", found=tolerance_mm, expected="mm, >= 0")


def _percentile_95(*sets: np.ndarray) -> float:
    return float(np.percentile(np.concatenate(sets), 95))


def _boxes(labels: np.ndarray, values: Sequence[int], name: str, path: Path | None) -> dict[int, Box]:
    """Bounding box of each label value that occurs; DataError for a value that is no class."""
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    found = {i + 1: box for i, box in enumerate(find_objects(labels)) if box is not None}
    strangers = sorted(set(found) - set(values))
    if labels.dtype.kind == "i" and labels.size and (lowest := int(labels.min())) < 0:
        strangers.insert(0, lowest)
    if strangers:
        raise DataError(
            f"the {name} holds values that are no class",
            path=path,
            found=", ".join(map(str, strangers[:8])),
            expected=f"0 (background), {', '.join(map(str, values))}",
        )
    return found


def _union(*boxes: Box | None) -> Box:
    """The smallest box that holds the given ones; an empty box (of any dimension) for none."""
    there = [box for box in boxes if box is not None]
    if not there:
        return (slice(0, 0),)
    return tuple(
        slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*there, strict=True)
    )
