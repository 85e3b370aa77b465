"""A box changes places between two neighbouring crops of a stream, with all that is known of its voxels.

What is around a voxel then no longer tells where it lies, so a few labelled scans are not learned by heart
(CutMix, Yun et al., ICCV 2019; among labelled scans: the first stage of BCP, Bai et al., CVPR 2023).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from semivox.batches.crops import Crops
from semivox.batches.perturb import pasted
from semivox.randomness import Key


def exchanged(crops: Crops, first: int, key: Key, share: float, side: float) -> Crops:
    """``crops`` with a box exchanged, both ways, in about ``share`` of the pairs of samples 2j and 2j + 1.

    first: number of the first of ``crops`` in its batch, even; a last crop without a partner stays as it is.
    key: pair j draws from ``key / j``. side: of the box, as a share of each axis.
    Views, targets and the weights of voxels change places. A pair that was not annotated for the same classes
    stays as it is: the background of one may hide what is known in the other, so a mixed crop could teach no
    more than what both know, which may be nothing.
    """
    where = torch.zeros_like(crops.valid)  # (B, 1, X, Y[, Z]): 1 in the boxes
    partner = torch.arange(len(where))
    for n in range(0, len(where) - 1, 2):
        rng = (key / ((first + n) // 2)).numpy()
        if rng.random() >= share or not torch.equal(crops.annotated[n], crops.annotated[n + 1]):
            continue
        box = [slice(None)]
        for size in where.shape[2:]:
            length = round(side * size)
            start = int(rng.integers(size - length + 1))
            box.append(slice(start, start + length))
        partner[[n, n + 1]] = partner[[n + 1, n]]
        where[n][tuple(box)] = where[n + 1][tuple(box)] = 1

    def mixed(x: Tensor) -> Tensor:
        return pasted(x, x[partner], where)

    return replace(
        crops,
        views={name: mixed(view) for name, view in crops.views.items()},
        target=None if crops.target is None else mixed(crops.target),
        valid=mixed(crops.valid),
    )
