"""Metrics of a pair of masks as papers compute them: one call of a library a number, on the whole volume."""

from __future__ import annotations

import numpy as np
import torch
from medpy.metric import binary as medpy
from monai import metrics as monai


def with_medpy(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]
) -> dict[str, float]:
    """Of two boolean masks, neither empty."""
    return {
        "dice": medpy.dc(prediction, reference),
        "jaccard": medpy.jc(prediction, reference),
        "hd95_mm": medpy.hd95(prediction, reference, spacing_mm),
        "assd_mm": medpy.assd(prediction, reference, spacing_mm),
        "asd_mm": medpy.asd(prediction, reference, spacing_mm),
        "hd95_vox": medpy.hd95(prediction, reference),
        "asd_vox": medpy.asd(prediction, reference),
    }


def with_monai(
    prediction: torch.Tensor, reference: torch.Tensor, spacing_mm: tuple[float, ...], tolerance_mm: float
) -> list[dict[str, float]]:
    """Of one-hot masks (1, K, X, Y, Z) uint8, foreground classes only; a row a class. MONAI's HD95 is another
    one (the larger of two percentiles), so it is left out."""
    both, classes = (prediction, reference), prediction.shape[1]
    mm = {"include_background": True, "spacing": spacing_mm}
    tolerances = [tolerance_mm] * classes
    found = {
        "dice": monai.compute_dice(*both),
        "jaccard": monai.compute_iou(*both),
        "assd_mm": monai.compute_average_surface_distance(*both, symmetric=True, **mm),
        "asd_mm": monai.compute_average_surface_distance(*both, **mm),
        "nsd": monai.compute_surface_dice(*both, tolerances, **mm),
        "asd_vox": monai.compute_average_surface_distance(*both, include_background=True),
    }
    return [{name: float(values[0, k]) for name, values in found.items()} for k in range(classes)]
