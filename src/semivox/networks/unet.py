"""The U-Net family of the plans, 2D and 3D (Ronneberger et al., arXiv 1505.04597; Cicek et al., arXiv
1606.06650): two convolutions a level with a normalisation and leaky ReLU, strided convolutions down,
transposed convolutions up, skips by concatenation. Kernels and strides follow the plan, axis by axis.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semivox.networks.blocks import ConvNorm, Stack, Trunk
from semivox.networks.contract import NormMode
from semivox.networks.layers import upsampling
from semivox.prepare import NetworkPlan

SLOPE = 0.01


class UNet(Trunk):
    """The trunk; see :class:`~semivox.networks.blocks.Trunk`."""

    def __init__(self, plan: NetworkPlan, channels: int) -> None:
        super().__init__()
        features, kernels, strides = plan.features, plan.kernels, plan.strides

        def block(level: int, inputs: int, stride: tuple[int, ...] | None = None) -> Stack:
            width, kernel = features[level], kernels[level]
            return Stack(
                [
                    ConvNorm(inputs, width, kernel, stride, norm=plan.norm, slope=SLOPE),
                    ConvNorm(width, width, kernel, norm=plan.norm, slope=SLOPE),
                ]
            )

        below = range(len(features) - 1)
        self.encoders = nn.ModuleList(
            [block(0, channels), *(block(i + 1, features[i], strides[i]) for i in below)]
        )
        self.ups = nn.ModuleList(upsampling(features[i + 1], features[i], strides[i]) for i in below)
        self.decoders = nn.ModuleList(block(i, 2 * features[i]) for i in below)

    def down(self, level: int, x: Tensor, norm: NormMode) -> Tensor:
        """Nothing: the next encoder's first convolution has the stride."""
        return x

    def up(self, level: int, x: Tensor, skip: Tensor, norm: NormMode) -> Tensor:
        """Skips by concatenation."""
        return torch.cat([self.ups[level](x), skip], dim=1)


__all__ = ["UNet"]
