"""Cleaning pseudo-labels: of each class only the largest connected component stays."""

from __future__ import annotations

import cc3d
import numpy as np
import torch
from torch import Tensor


def largest_components(pseudo_label: Tensor, classes: int) -> Tensor:
    """``pseudo_label`` (B, X, Y[, Z]) class indices with every smaller component of a class made background.

    Components are connected through faces, edges and corners. Runs on the CPU, sample by sample.
    """
    cleaned = pseudo_label.cpu().numpy().copy()
    for sample in cleaned:
        for k in range(1, classes):
            region = sample == k
            if region.any():
                components = cc3d.connected_components(region, connectivity=8 if sample.ndim == 2 else 26)
                sizes = np.bincount(components.ravel())
                sizes[0] = 0
                sample[region & (components != sizes.argmax())] = 0
    return torch.from_numpy(cleaned).to(pseudo_label.device)
