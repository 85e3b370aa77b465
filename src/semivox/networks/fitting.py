"""Weights of one network in another whose channels, kernels, strides or depth differ."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

HEADS = ("head.", "sdm_head.", "scale_heads.")
"""Beginnings of the names of what turns features into classes."""


def fitting_weights(given: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Those of ``given``, the weights of another network of the same kind, that ``network`` can take, fitted.

    Names say where a weight belongs: levels are counted from full resolution, so of networks that differ in
    depth the upper levels fit. Heads are left out. Where sizes differ, a fitted weight gives the same
    features for an image that is constant along the axis whose kernel differs, or whose channels are copies
    of the one it was learned with. What cannot be fitted is left out, too.
    """
    first = next(name for name, weight in network.state_dict().items() if weight.dim() > 3)  # meets the image
    transposed = {
        f"{name}.weight"
        for name, layer in network.named_modules()
        if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d)
    }
    fitted: dict[str, Tensor] = {}
    for name, own in network.state_dict().items():
        weight = given.get(name)
        if weight is None or name.startswith(HEADS) or weight.dim() != own.dim():
            continue
        if name == first and weight.shape[1] != own.shape[1]:
            mean = weight.mean(1, keepdim=True)
            weight = mean.expand(-1, own.shape[1], *weight.shape[2:]) * (weight.shape[1] / own.shape[1])
        for axis in range(2, own.dim()):
            weight = _along(weight, axis, own.shape[axis], name in transposed)
        if weight.shape == own.shape:
            fitted[name] = weight.to(own.dtype).contiguous()
    return fitted


def _along(weight: Tensor, axis: int, size: int, transposed: bool) -> Tensor:
    """``weight`` with ``size`` taps along ``axis``: one for many is their sum (of a transposed convolution
    with kernel = stride, where one tap reaches each voxel, their mean), many for one stand around it (are its
    copies). Others are left as they are."""
    taps = weight.shape[axis]
    if taps == size or 1 not in (taps, size):
        return weight
    if transposed:
        mean = weight.mean(axis, keepdim=True)
        return mean.expand(*weight.shape[:axis], size, *weight.shape[axis + 1 :])
    if size == 1:
        return weight.sum(axis, keepdim=True)
    before = (size - 1) // 2
    pad = [0, 0] * (weight.dim() - 1 - axis) + [before, size - 1 - before]
    return functional.pad(weight, pad)


__all__ = ["fitting_weights"]
