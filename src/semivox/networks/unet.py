"""The U-Net family of the plans, 2D and 3D (Ronneberger et al., arXiv 1505.04597; Cicek et al., arXiv
1606.06650): two convolutions a level with a normalisation and leaky ReLU, strided convolutions down,
transposed convolutions up, skips by concatenation. Kernels and strides follow the plan, axis by axis.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semivox.networks.blocks import ConvNorm, Stack, apply_mask
from semivox.networks.contract import NormMode
from semivox.networks.weights import upsampling
from semivox.prepare import NetworkPlan

SLOPE = 0.01


class UNet(nn.Module):
    """The trunk: (B, C, X, Y[, Z]) -> activations by name (``encoder_i``, ``bottleneck``,
    ``bottleneck_dropped``, ``decoder_i``); i is the level, 0 at full resolution."""

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

    def encode(self, x: Tensor, norm: NormMode, mask: Tensor | None) -> dict[str, Tensor]:
        """The way down alone: ``encoder_i``, ``bottleneck``, ``bottleneck_dropped``."""
        found: dict[str, Tensor] = {}
        bottom = len(self.ups)
        for i in range(bottom):
            found[f"encoder_{i}"] = x = self.encoders[i](x, norm)
        found["bottleneck"] = x = self.encoders[bottom](x, norm)
        found["bottleneck_dropped"] = apply_mask(x, mask)
        return found

    def forward(self, x: Tensor, norm: NormMode, mask: Tensor | None, keep: bool = True) -> dict[str, Tensor]:
        """``mask`` (B, C, 1, ...): dropout factors of the bottleneck's channels. Without ``keep`` only
        ``decoder_0`` comes back and the others are freed as soon as they are used."""
        return self.decode(self.encode(x, norm, mask), norm, keep)

    def decode(self, found: dict[str, Tensor], norm: NormMode, keep: bool = True) -> dict[str, Tensor]:
        """The way up from what :meth:`encode` found, which gets ``decoder_i`` too; ``keep`` as in forward."""
        x = found["bottleneck_dropped"]
        bottom = len(self.ups)
        skips = [f"encoder_{i}" for i in range(bottom)]
        for i in reversed(range(bottom)):
            if not keep:
                found = {name: y for name, y in found.items() if name in skips[: i + 1]}
            x = torch.cat([self.ups[i](x), found[skips[i]]], dim=1)
            found[f"decoder_{i}"] = x = self.decoders[i](x, norm)
        return found


__all__ = ["UNet"]
