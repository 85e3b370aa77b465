"""Scans as points: the mean of the encoder's deepest features over a scan, and distances between scans."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from semivox.networks import NormMode, Output, Segmenter
from semivox.randomness import BatchKey

CONSTANT = 1e-6
"""A feature that varies less among the scans, as a part of its size, tells them not apart."""


class FeatureMean(nn.Module):
    """A network that predicts as it does, and adds up its ``bottleneck`` features meanwhile: what
    :meth:`Segmenter.encode` gives, without a second pass. Tiles count by their voxels."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network, self.multiple = network, network.multiple
        self._total = np.zeros(network.feature_channels["bottleneck"])
        self._voxels = 0

    def forward(self, x: Tensor, drop: BatchKey | None = None, norm: NormMode = "running") -> Output:
        kept, self.network.keep_features = self.network.keep_features, True
        try:
            output: Output = self.network(x, drop=drop, norm=norm)
        finally:
            self.network.keep_features = kept
        found = output.features["bottleneck"].transpose(0, 1).flatten(1)  # (features, voxels)
        self._total += found.sum(1, dtype=torch.float64).cpu().numpy()
        self._voxels += found.shape[1]
        return Output(output.logits)

    @property
    def mean(self) -> np.ndarray:
        """``(features,)`` over all that was seen."""
        return self._total / max(1, self._voxels)


def standardised(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Features ``(F,)`` of each scan in standard deviations over the scans, divided by the square root of how
    many vary: the distance of two scans is then the root mean square difference of a feature. The order of
    the scans does not matter."""
    names = sorted(features)
    if not names:
        return {}
    table = np.stack([features[name] for name in names])
    deviation = table.std(0)
    varies = deviation > CONSTANT * np.abs(table).max(0)
    scaled = (table[:, varies] - table[:, varies].mean(0)) / deviation[varies]
    return dict(zip(names, scaled / np.sqrt(max(1, varies.sum())), strict=True))


def distances(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Euclidean distances of ``points`` ``(n, F)`` to one point ``to`` ``(F,)``; exactly 0 for equal ones."""
    return np.asarray(np.sqrt(np.square(points - to).sum(-1)))
