"""What both network families are built of: convolution, normalisation and rectifier; dropout of channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from semivox.networks.contract import NormMode
from semivox.networks.norm import NORMS
from semivox.networks.weights import convolution, upsampling
from semivox.randomness import BatchKey


class ConvNorm(nn.Module):
    """Convolution (no bias: the normalisation would cancel it), normalisation, leaky ReLU.

    ``norm``: a name in ``NORMS``. ``slope`` 0 is the plain ReLU. ``up`` makes it a transposed convolution
    with kernel = stride.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        *,
        norm: str,
        slope: float = 0.0,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.slope = slope
        if up:
            self.conv = upsampling(inputs, outputs, kernel)
        else:
            self.conv = convolution(inputs, outputs, kernel, stride, bias=False)
        self.norm = NORMS[norm](outputs)

    def forward(self, x: Tensor, norm: NormMode) -> Tensor:
        x = self.norm(self.conv(x), norm)
        # In place: the normalisation keeps its input for the backward pass, not its output.
        return functional.leaky_relu_(x, self.slope) if self.slope else functional.relu_(x)


class Stack(nn.Module):
    """ConvNorms one after the other."""

    def __init__(self, layers: Sequence[ConvNorm]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, norm: NormMode) -> Tensor:
        for layer in self.layers:
            x = layer(x, norm)
        return x


def channel_mask(
    drop: BatchKey | None, place: str, p: float, x_shape: tuple[int, int], dims: int
) -> Tensor | None:
    """Factors (B, C, 1, 1[, 1]), 0 with probability ``p`` and else 1 / (1 - p); None if nothing is dropped.

    A row is a function of the key, ``place`` and the sample's number in the global batch.
    """
    if drop is None or p == 0:
        return None
    keep = (drop / place).uniform(x_shape) >= p
    return (keep / (1 - p)).to(torch.float32).reshape(*x_shape, *(1,) * dims)


def apply_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` (B, C, ...) times ``mask``, in ``x``'s precision; ``x`` itself without a mask."""
    return x if mask is None else x * mask.to(x.dtype)
