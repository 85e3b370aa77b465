"""The V-Net of the semi-supervised literature (Milletari et al., arXiv 1606.04797, in the form that UA-MT,
arXiv 1907.07034, uses): no residual sums, skips by addition, batch normalisation.

Differences from it: convolutions have no bias (the normalisation after them cancels it), and kernels, strides
and features may be other than 3, 2 and 16 ... 256, so that a plan for anisotropic scans or 2D can use it.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from semivox.networks.blocks import ConvNorm, Stack, Trunk
from semivox.networks.contract import NormMode
from semivox.prepare import NetworkPlan


def _convolutions(level: int) -> int:
    """1, 2, 3, 3, 3 convolutions at levels 0 .. 4."""
    return min(level + 1, 3)


class VNet(Trunk):
    """The trunk; see :class:`~semivox.networks.blocks.Trunk`."""

    def __init__(self, plan: NetworkPlan, channels: int) -> None:
        super().__init__()
        features, kernels, strides = plan.features, plan.kernels, plan.strides

        def block(level: int, inputs: int) -> Stack:
            sizes = [inputs, *[features[level]] * _convolutions(level)]
            return Stack([ConvNorm(a, b, kernels[level], norm=plan.norm) for a, b in pairwise(sizes)])

        depth = len(features)
        self.encoders = nn.ModuleList(block(i, channels if i == 0 else features[i]) for i in range(depth))
        self.downs = nn.ModuleList(
            ConvNorm(features[i], features[i + 1], strides[i], strides[i], norm=plan.norm)
            for i in range(depth - 1)
        )
        self.ups = nn.ModuleList(
            ConvNorm(features[i + 1], features[i], strides[i], norm=plan.norm, up=True)
            for i in range(depth - 1)
        )
        self.decoders = nn.ModuleList(block(i, features[i]) for i in range(depth - 1))

    def down(self, level: int, x: Tensor, norm: NormMode) -> Tensor:
        """A strided convolution."""
        return self.downs[level](x, norm)

    def up(self, level: int, x: Tensor, skip: Tensor, norm: NormMode) -> Tensor:
        """Skips by addition."""
        return self.ups[level](x, norm) + skip


__all__ = ["VNet"]
