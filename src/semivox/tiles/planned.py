"""A prepared scan through the networks of a plan: what their input must be, and the memory it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from semivox.errors import DataError
from semivox.prepare import Plan
from semivox.tiles.forward import predict_probabilities


def predict_planned(
    networks: Sequence[nn.Module],
    image: np.ndarray,
    plan: Plan,
    memory_bytes: int | None = None,
    whole: bool = False,
) -> Tensor:
    """Mean softmax (K, X, Y[, Z]) float32 of ``networks`` over ``image`` (C, X, Y[, Z]), normalised, in
    working voxels.

    Half-overlapping windows of the plan's patch, which is what the networks have learned from; ``whole``: in
    one forward, two to four times as fast and, measured, a little less accurate (docs/performance.md). Each
    network's own ``multiple`` is met, or the plan's; ``memory_bytes`` as for :func:`predict_probabilities`.
    Raises DataError for an output that is not finite.
    """
    needs = [getattr(network, "multiple", plan.network.multiple) for network in networks]
    probabilities = predict_probabilities(
        networks,
        image,
        multiple=tuple(math.lcm(*axis) for axis in zip(*needs, strict=True)),
        memory_bytes=memory_bytes,
        tile=None if whole else plan.patch,
        bytes_per_voxel=_bytes_per_voxel(plan),
    )
    if not math.isfinite(float(probabilities.sum())):  # one NaN makes the sum one
        broken = int((~probabilities.isfinite()).any(0).sum())
        raise DataError(
            "the network's output for this scan is not finite",
            found=f"{broken} of {probabilities[0].numel()} voxels of the working grid",
            expected="probabilities",
            remedy="look at the scan's intensities; where every scan fails, train anew with a smaller "
            "optimizer.lr",
        )
    return probabilities


def _bytes_per_voxel(plan: Plan) -> float:
    """Estimated memory of a forward for each input voxel: float32 maps at full resolution alive at once."""
    return 4.0 * (8 * plan.network.features[0] + len(plan.channels) + 2 * (len(plan.classes) + 1))
