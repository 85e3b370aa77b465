"""How strongly the loss tells a part from what surrounds it, with regions and with plain classes.

``python benchmarks/region_gradient.py``: a made-up plane of a heart (right ventricle, wall, cavity), and a
network that gives each voxel's class a logit ``confidence`` above the others. Printed is the gradient with
regions as a share of that with classes: of the difference of the logits of wall and cavity, summed over the
cavity's voxels and over the wall's, for Dice alone and for the whole loss (Dice and cross-entropy).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from semivox.losses.segmentation import dice_loss, segmentation_loss

REGIONS = torch.tensor([[1.0, 1, 1], [0, 1, 1], [0, 0, 1]])
WALL, CAVITY = 2, 3


def heart() -> Tensor:
    """Label values, (128, 128)."""
    x = torch.arange(128.0) - 64
    labels = torch.zeros(128, 128, dtype=torch.long)
    labels[((x[:, None] + 26) ** 2 + x[None] ** 2).sqrt() < 20] = 1
    away = (x[:, None] ** 2 + x[None] ** 2).sqrt()
    labels[away < 22], labels[away < 14] = WALL, CAVITY
    return labels


def telling_apart(
    loss: Callable[..., Tensor], confidence: float, regions: Tensor | None
) -> tuple[float, float]:
    """The gradient that tells wall from cavity, summed over the cavity and over the wall."""
    labels = heart()
    logits = torch.zeros(1, 4, 128, 128).scatter_(1, labels[None, None], confidence).requires_grad_()
    target = torch.stack([(labels == value).float() for value in (1, WALL, CAVITY)])[None]
    value = loss(logits, target, torch.ones(1, 1, 128, 128), torch.ones(1, 3), regions)
    (gradient,) = torch.autograd.grad(value, logits)
    difference = gradient[0, WALL] - gradient[0, CAVITY]
    return float(difference[labels == CAVITY].sum()), float(-difference[labels == WALL].sum())


def main() -> None:
    print("| confidence | Dice, in the cavity | Dice, in the wall | all, in the cavity | all, in the wall |")
    print("|---:|---:|---:|---:|---:|")
    for confidence in (0.0, 1.0, 3.0):
        shares = [
            with_regions / plain
            for loss in (dice_loss, segmentation_loss)
            for with_regions, plain in zip(
                telling_apart(loss, confidence, REGIONS), telling_apart(loss, confidence, None), strict=True
            )
        ]
        print(f"| {confidence:g} | {' | '.join(f'{share:.2f}' for share in shares)} |")


if __name__ == "__main__":
    main()
