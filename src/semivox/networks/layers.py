"""Layers made without touching torch's global generator, and starting weights as a pure function of a key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from semivox.networks.lone_sample import convolved, is_lone, upsampled
from semivox.randomness import Key


class _Uninitialised:
    """A layer whose weights are memory as it was found (torch's ``skip_init`` does so too, but imports sympy:
    more than a second of every prediction)."""

    def reset_parameters(self) -> None: ...


class Conv2d(_Uninitialised, nn.Conv2d): ...


class Conv3d(_Uninitialised, nn.Conv3d):
    def forward(self, x: Tensor) -> Tensor:
        return convolved(x, self) if is_lone(x, self.weight) else super().forward(x)


class ConvTranspose2d(_Uninitialised, nn.ConvTranspose2d): ...


class ConvTranspose3d(_Uninitialised, nn.ConvTranspose3d):
    """With kernel = stride, as :func:`upsampling` makes it."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return upsampled(x, self) if is_lone(x, self.weight) else super().forward(x, output_size)


class Linear(_Uninitialised, nn.Linear): ...


_CONV: dict[int, Callable[..., nn.Module]] = {2: Conv2d, 3: Conv3d}
_TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: ConvTranspose2d, 3: ConvTranspose3d}


def convolution(
    inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int] | None = None, *, bias: bool
) -> nn.Module:
    """A convolution with uninitialised weights; a size n divisible by the stride s becomes n / s.

    A kernel smaller than the stride is widened to it along that axis: no voxel is passed over.
    """
    stride = tuple(stride) if stride is not None else (1,) * len(kernel)
    kernel = tuple(max(k, s) for k, s in zip(kernel, stride, strict=True))
    padding = tuple((k - 1) // 2 if k > s else 0 for k, s in zip(kernel, stride, strict=True))
    return _CONV[len(kernel)](inputs, outputs, kernel, stride=stride, padding=padding, bias=bias)


def upsampling(inputs: int, outputs: int, stride: Sequence[int]) -> nn.Module:
    """A transposed convolution with kernel = stride and uninitialised weights."""
    return _TRANSPOSED[len(stride)](inputs, outputs, tuple(stride), stride=tuple(stride), bias=False)


def linear(inputs: int, outputs: int) -> nn.Module:
    """A linear layer with uninitialised weights."""
    return Linear(inputs, outputs)


def initialise(module: nn.Module, key: Key) -> None:
    """Draw every convolution and linear weight from ``key`` and its name; biases become 0.

    Kaiming normal (arXiv 1502.01852) where a normalisation or a ReLU follows; layers with a bias and a 1x1
    kernel (outputs) get torch's usual variance 1 / (3 inputs), which keeps tanh and softmax unsaturated.
    Equal keys and names give equal weights.
    """
    for name, layer in module.named_modules():
        if not isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)):
            continue
        weight = layer.weight
        if isinstance(layer, (nn.ConvTranspose2d, nn.ConvTranspose3d)):
            inputs = weight.shape[0]  # kernel = stride: one tap reaches each voxel
        else:
            inputs = weight[0].numel()
        is_output = layer.bias is not None and math.prod(weight.shape[2:]) == 1
        std = math.sqrt((1 / 3 if is_output else 2) / inputs)
        with torch.no_grad():
            drawn = torch.randn(weight.shape, generator=(key / name).torch())
            weight.copy_(drawn.mul_(std))
            if layer.bias is not None:
                layer.bias.zero_()


def blank(module: nn.Module) -> None:
    """Zero every convolution and linear layer, for weights that are read from a file afterwards."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)


__all__ = ["blank", "convolution", "initialise", "linear", "upsampling"]
