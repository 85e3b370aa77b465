"""Heads that map features or maps to the vectors that contrastive losses compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from semivox.errors import SettingsError
from semivox.networks.layers import convolution, initialise, linear
from semivox.randomness import Key


class SliceProjection(nn.Module):
    """Slices (B, C, H, W) -> vectors (B, outputs), not normalised.

    SimCVD's paper (arXiv 2108.06227) states an MLP without its sizes; these are ours: average pooling to
    28 x 28, two strided 3x3 convolutions, 256 hidden units.
    """

    def __init__(
        self, channels: int, key: Key, outputs: int = 128, width: int = 16, hidden: int = 256
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(28)
        self.first = convolution(channels, width, (3, 3), (2, 2), bias=True)
        self.second = convolution(width, 2 * width, (3, 3), (2, 2), bias=True)
        self.hidden = linear(2 * width * 7 * 7, hidden)
        self.last = linear(hidden, outputs)
        initialise(self, key)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(self.pool(x)))
        x = functional.relu(self.second(x))
        x = functional.relu(self.hidden(x.flatten(1)))
        return self.last(x)


class PixelProjection(nn.Module):
    """Features (B, C, X, Y[, Z]) -> vectors at every position (B, outputs, X, Y[, Z]), not normalised:
    1x1 convolution, ReLU, 1x1 convolution. ``hidden`` None: as many as there are inputs."""

    def __init__(
        self, channels: int, dims: int, key: Key, outputs: int = 128, hidden: int | None = None
    ) -> None:
        super().__init__()
        one = (1,) * dims
        self.hidden = convolution(channels, hidden or channels, one, bias=True)
        self.last = convolution(hidden or channels, outputs, one, bias=True)
        initialise(self, key)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.relu(self.hidden(x)))


def pixel_projection(channels: int, dims: int, key: Key, hidden: int | None, outputs: int = 128) -> nn.Module:
    """A :class:`PixelProjection` with ``hidden`` channels between; None: one 1x1 convolution alone."""
    if hidden is not None:
        return PixelProjection(channels, dims, key, outputs, hidden)
    single = convolution(channels, outputs, (1,) * dims, bias=True)
    initialise(single, key)
    return single


class VectorProjection(nn.Module):
    """Vectors (B, C) -> vectors (B, outputs), not normalised: linear, ReLU, linear."""

    def __init__(self, channels: int, key: Key, outputs: int = 128, hidden: int = 256) -> None:
        super().__init__()
        self.hidden = linear(channels, hidden)
        self.last = linear(hidden, outputs)
        initialise(self, key)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.relu(self.hidden(x)))


def vector_projections(network: nn.Module, taps: Mapping[str, str], key: Key, outputs: int) -> nn.ModuleDict:
    """A :class:`VectorProjection` by each name of ``taps``, as wide as the feature of ``network`` it names;
    equal each time it is called. Raises SettingsError for a feature that the network does not give."""
    channels = cast(Mapping[str, int], network.feature_channels)
    if missing := set(taps.values()) - set(channels):
        raise SettingsError(
            "the network has no such features", found=", ".join(missing), expected=", ".join(channels)
        )
    return nn.ModuleDict(
        {name: VectorProjection(channels[feature], key / name, outputs) for name, feature in taps.items()}
    )


__all__ = ["PixelProjection", "SliceProjection", "VectorProjection", "pixel_projection", "vector_projections"]
