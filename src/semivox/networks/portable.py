"""A prepared network in torch's own layers alone, as other programs can take it: any batch, any size.

Ours have ways of their own for a batch of one and for each sample's normalisation, which are quick on a CPU
and which a tracer would take for the only way.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from semivox.networks import layers
from semivox.networks.contract import NormMode
from semivox.networks.norm import InstanceNorm
from semivox.networks.segmenter import Segmenter

PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    layers.Conv2d: nn.Conv2d,
    layers.Conv3d: nn.Conv3d,
    layers.ConvTranspose2d: nn.ConvTranspose2d,
    layers.ConvTranspose3d: nn.ConvTranspose3d,
}


class MeanSoftmax(nn.Module):
    """``image`` (B, C, X, Y[, Z]) float32, normalised, -> (B, K, X, Y[, Z]): the mean of the softmax of
    ``networks``, which stay as they are. Each axis of the image is a multiple of their strides."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(_portable(network) for network in networks)

    def forward(self, image: Tensor) -> Tensor:
        total = torch.zeros(())
        for network in self.networks:
            assert isinstance(network, Segmenter)
            total = total + network.compute(image, None, None, "running")[0].softmax(1)
        return total / len(self.networks)


class _EachSample(nn.Module):
    """:class:`~semivox.networks.norm.InstanceNorm` as one operation for all samples."""

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor, norm: NormMode) -> Tensor:
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, False)


def _portable(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network).cpu().eval()
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, _EachSample(child))
            elif type(child) in PLAIN:
                child.__class__ = PLAIN[type(child)]  # ours differ in how they are computed alone
    return network


__all__ = ["MeanSoftmax"]
