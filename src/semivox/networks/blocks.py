"""The building block of both network families: convolution, normalisation, rectifier."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from semivox.networks.contract import NormMode
from semivox.networks.norm import NORMS
from semivox.networks.weights import convolution, upsampling


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


__all__ = ["ConvNorm", "Stack"]
