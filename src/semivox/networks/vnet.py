"""The V-Net of the semi-supervised literature (Milletari et al., arXiv 1606.04797, in the form that UA-MT,
arXiv 1907.07034, uses): no residual sums, skips by addition, batch normalisation.

Differences from it: convolutions have no bias (the normalisation after them cancels it), and kernels, strides
and features may be other than 3, 2 and 16 ... 256, so that a plan for anisotropic scans or 2D can use it.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from semivox.networks.blocks import ConvNorm, Stack, apply_mask
from semivox.networks.contract import NormMode
from semivox.prepare import NetworkPlan


def _convolutions(level: int) -> int:
    """1, 2, 3, 3, 3 convolutions at levels 0 .. 4."""
    return min(level + 1, 3)


class VNet(nn.Module):
    """The trunk: (B, C, X, Y[, Z]) -> activations by name (``encoder_i``, ``bottleneck``,
    ``bottleneck_dropped``, ``decoder_i``); i is the level, 0 at full resolution."""

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

    def encode(self, x: Tensor, norm: NormMode, mask: Tensor | None) -> dict[str, Tensor]:
        """The way down alone: ``encoder_i``, ``bottleneck``, ``bottleneck_dropped``."""
        found: dict[str, Tensor] = {}
        bottom = len(self.downs)
        for i in range(bottom):
            found[f"encoder_{i}"] = x = self.encoders[i](x, norm)
            x = self.downs[i](x, norm)
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
        bottom = len(self.downs)
        skips = [f"encoder_{i}" for i in range(bottom)]
        for i in reversed(range(bottom)):
            if not keep:
                found = {name: y for name, y in found.items() if name in skips[: i + 1]}
            x = self.ups[i](x, norm) + found[skips[i]]
            found[f"decoder_{i}"] = x = self.decoders[i](x, norm)
        return found


__all__ = ["VNet"]
