"""Critics: does a segmentation come from a label (real) or from a network (fake)?

* pixel: three 1x1 convolutions (Duo-SegNet: Peiris et al., MICCAI 2021, arXiv 2108.11154); a verdict a voxel.
* image: image and segmentation joined, strided convolutions (after SASSNet: Li et al., MICCAI 2020, arXiv
  2007.10732, where a critic sees the image too); a verdict a region.

Both normalise each sample by itself, in groups of 16 channels. Batch normalisation would judge real and fake
by the statistics of whatever else is in the call; at one sample a call, as the paper trains, the two agree
but for the grouping.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semivox.networks.layers import convolution, initialise
from semivox.randomness import Key

CriticKind = Literal["pixel", "image"]
GROUP = 16
SLOPE = 0.2


class PixelCritic(nn.Module):
    """Class fractions (B, K, X, Y[, Z]) -> logits (B, 1, X, Y[, Z]); above 0: real. It ignores the image."""

    def __init__(self, classes: int, dims: int, key: Key, width: int = 64) -> None:
        super().__init__()
        one = (1,) * dims
        self.first = convolution(classes, width, one, bias=True)
        self.second = convolution(width, 2 * width, one, bias=False)
        self.norm = nn.GroupNorm(2 * width // GROUP, 2 * width)
        self.last = convolution(2 * width, 1, one, bias=True)
        initialise(self, key)

    def forward(self, fractions: Tensor, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.first(fractions), SLOPE)
        y = functional.leaky_relu(self.norm(self.second(y)), SLOPE)
        return self.last(y)


class ImageCritic(nn.Module):
    """Class fractions (B, K, X, Y[, Z]) and their image x (B, C, ...) -> logits (B, 1, X', Y'[, Z']).

    Each of the ``levels`` halves a side, rounding up, so any patch will do: X' = ceil(X / 2^levels).
    """

    def __init__(
        self, channels: int, classes: int, dims: int, key: Key, width: int = 32, levels: int = 4
    ) -> None:
        super().__init__()
        sizes = [channels + classes, *(width * 2**i for i in range(levels))]
        self.convs = nn.ModuleList(
            convolution(a, b, (3,) * dims, (2,) * dims, bias=False) for a, b in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(n // GROUP, n) for n in sizes[1:])
        self.last = convolution(sizes[-1], 1, (1,) * dims, bias=True)
        initialise(self, key)

    def forward(self, fractions: Tensor, x: Tensor) -> Tensor:
        y = torch.cat([x, fractions], 1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = functional.leaky_relu(norm(conv(y)), SLOPE)
        return self.last(y)


def build_critic(kind: CriticKind, channels: int, classes: int, dims: int, key: Key) -> nn.Module:
    """A critic for K = ``classes`` (with background) whose weights are a pure function of ``key``.

    It is called as ``critic(fractions (B, K, ...), x (B, C, ...))`` and gives logits, above 0: real.
    """
    if kind == "pixel":
        return PixelCritic(classes, dims, key)
    if kind == "image":
        return ImageCritic(channels, classes, dims, key)
    raise ValueError(f"critic {kind!r} is neither pixel nor image")


__all__ = ["CriticKind", "ImageCritic", "PixelCritic", "build_critic"]
