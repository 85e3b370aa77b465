"""Convolutions of a batch of one at the speed of a batch of two.

torch gives a float32 ``Conv3d`` of a batch of one to its slow loops while channels x depth x height <= 20480
(``use_mkldnn`` in its Convolution.cpp), and a transposed one as well: two to six times the time that a sample
takes beside another. Both have a way around that changes nothing but rounding: the convolution that
torch would take for a batch of two can be called by name, and a transposed convolution whose kernel is its
stride is as happy with half a sample, so one sample is two halves.

Where gradients are wanted all stays as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def is_lone(x: Tensor, weight: Tensor) -> bool:
    """Whether ``x`` (B, C, X, Y, Z) would be convolved with ``weight`` in a slow loop that can be avoided."""
    return (
        len(x) == 1
        and x.numel() > 0
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last_3d)
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


def convolved(x: Tensor, layer: nn.Conv3d) -> Tensor:
    """``layer(x)`` for ``x`` (1, C, X, Y, Z), float32, channels last, without gradients. ``layer`` pads with
    zeros, by numbers."""
    assert not isinstance(layer.padding, str)
    return torch.mkldnn_convolution(
        x, layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups
    )


def upsampled(x: Tensor, layer: nn.ConvTranspose3d) -> Tensor:
    """``layer(x)`` for ``x`` (1, C, X, Y, Z), channels last, where the layer's kernel is its stride.

    No output voxel sees two input voxels, so the sample is cut across its first axis. Only views are made."""
    _, channels, *size = x.shape
    parts = 2 if size[0] % 2 == 0 else size[0]
    cut = x.permute(0, 2, 3, 4, 1).reshape(parts, size[0] // parts, *size[1:], channels)
    y = functional.conv_transpose3d(cut.permute(0, 4, 1, 2, 3), layer.weight, layer.bias, layer.stride)
    y = y.permute(0, 2, 3, 4, 1)
    joined = y.reshape(1, parts * y.shape[1], *y.shape[2:])
    return joined.permute(0, 4, 1, 2, 3)


__all__ = ["convolved", "is_lone", "upsampled"]
