"""Prediction without normalisation layers: running statistics folded into the convolutions before them."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from semivox.errors import SettingsError
from semivox.networks.blocks import ConvNorm
from semivox.networks.contract import NormMode
from semivox.networks.norm import BatchNorm

Network = TypeVar("Network", bound=nn.Module)
PLAIN, TRANSPOSED = (nn.Conv2d, nn.Conv3d), (nn.ConvTranspose2d, nn.ConvTranspose3d)


class Folded(nn.Module):
    """What stands in the place of a normalisation that the convolution before it has taken over."""

    def forward(self, x: Tensor, norm: NormMode) -> Tensor:
        if norm != "running":
            raise SettingsError(
                "the network was prepared for prediction and cannot train", found=norm, expected="running"
            )
        return x


@torch.no_grad()
def fold_norms(network: Network) -> Network:
    """Fold the batch normalisation of every :class:`ConvNorm` into its convolution, in place.

    With running statistics it is ``g (y - mean) / sqrt(var + eps) + b`` of each channel, a scale and an
    offset that weights and bias can carry: the same function, one pass over each activation less, and in
    bfloat16 one rounding less. The network then serves ``norm="running"`` alone. Returns ``network``.
    """
    for module in network.modules():
        if not isinstance(module, ConvNorm) or not isinstance(module.norm, BatchNorm):
            continue
        conv, norm = module.conv, module.norm
        assert isinstance(conv, (*PLAIN, *TRANSPOSED))
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        output = 1 if isinstance(conv, TRANSPOSED) else 0  # the weight's axis of output channels
        shape = [-1 if axis == output else 1 for axis in range(conv.weight.ndim)]
        conv.weight.mul_(scale.to(conv.weight.dtype).view(shape))
        offset = norm.bias.double() - norm.running_mean.double() * scale
        conv.bias = nn.Parameter(offset.to(conv.weight.dtype), requires_grad=False)
        module.register_module("norm", Folded())
    return network


__all__ = ["fold_norms"]
