"""What both network families share: convolution, normalisation and rectifier, and the way down and up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from semivox.networks.contract import NormMode
from semivox.networks.layers import convolution, upsampling
from semivox.networks.norm import NORMS
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


class Trunk(nn.Module):
    """The way down and up that both families go: (B, C, X, Y[, Z]) -> activations by name (``encoder_i``,
    ``bottleneck``, ``bottleneck_dropped``, ``decoder_i``); i is the level, 0 at full resolution.

    A family makes its ``encoders`` and ``decoders`` and says how it goes :meth:`down` and :meth:`up`.
    """

    encoders: nn.ModuleList
    decoders: nn.ModuleList

    def down(self, level: int, x: Tensor, norm: NormMode) -> Tensor:
        """From what level ``level`` found to the input of the next one."""
        raise NotImplementedError

    def up(self, level: int, x: Tensor, skip: Tensor, norm: NormMode) -> Tensor:
        """From the level below, joined with ``skip``, to the input of this level's decoder."""
        raise NotImplementedError

    def encode(self, x: Tensor, norm: NormMode, mask: Tensor | None) -> dict[str, Tensor]:
        """The way down alone: ``encoder_i``, ``bottleneck``, ``bottleneck_dropped``."""
        found: dict[str, Tensor] = {}
        bottom = len(self.decoders)
        for i in range(bottom):
            found[f"encoder_{i}"] = x = self.encoders[i](x, norm)
            x = self.down(i, x, norm)
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
        skips = [f"encoder_{i}" for i in range(len(self.decoders))]
        for i in reversed(range(len(self.decoders))):
            if not keep:
                found = {name: y for name, y in found.items() if name in skips[: i + 1]}
            x = self.up(i, x, found[skips[i]], norm)
            found[f"decoder_{i}"] = x = self.decoders[i](x, norm)
        return found


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
