"""A scan and its mirror images through networks, each turned back to lie on the scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor, nn

from semivox.prepare import Plan
from semivox.tiles.planned import predict_planned


def predict_views(
    networks: Sequence[nn.Module],
    image: np.ndarray,
    plan: Plan,
    mirror_axes: Sequence[int] = (),
    memory_bytes: int | None = None,
    whole: bool = False,
) -> Iterator[Tensor]:
    """Probabilities (K, X, Y[, Z]) of ``image`` (C, X, Y[, Z]), then of its mirror image along each of
    ``mirror_axes`` (working axes), turned back. Other arguments and errors as for :func:`predict_planned`.

    One at a time: who wants their mean holds two.
    """
    yield predict_planned(networks, image, plan, memory_bytes, whole)
    for axis in mirror_axes:
        mirrored = np.flip(image, 1 + axis).copy()  # contiguous leaves an axis of one voxel turned round
        yield predict_planned(networks, mirrored, plan, memory_bytes, whole).flip(1 + axis)
