"""Class probabilities of a scan: from overlapping windows, or from one forward where memory allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semivox.machine import free_bytes
from semivox.tiles.blend import axis_tiles, tile_shape

BYTES_PER_VOXEL = 512  # activations alive at once in a forward of the 16-filter V-Net, float32


def predict_probabilities(
    networks: Sequence[nn.Module],
    image: Tensor | np.ndarray,
    *,
    multiple: Sequence[int],
    memory_bytes: int | None = None,
    tile: Sequence[int] | None = None,
    overlap: float = 0.5,
    bytes_per_voxel: float = BYTES_PER_VOXEL,
) -> Tensor:
    """The mean of the networks' softmax over a whole image.

    Parameters
    ----------
    networks
        Networks of the forward contract (:mod:`semivox.networks.contract`), all on one device.
    image
        (C, X, Y[, Z]) float32, normalised, on the working grid.
    multiple
        Per axis, what the networks' input size must be a multiple of; the image, or where there are tiles an
        image smaller than one, is padded with zeros on both sides, and the margin is cut off again.
    memory_bytes
        What a forward may use (None: half of what is free on the networks' device). What needs more is cut
        into tiles.
    tile
        Size of the tiles, rounded up to ``multiple``; smaller ones where the memory holds no such tile.
        None: the whole image, or tiles as large as the memory allows.
    overlap
        Part of a tile that its neighbour covers too.
    bytes_per_voxel
        Memory that one forward takes for each voxel of its input.

    Returns
    -------
    (K, X, Y[, Z]) float32 on the CPU; sums to one over K.
    """
    device = _device(networks)
    x = torch.as_tensor(image, dtype=torch.float32)
    shape = tuple(max(1, math.ceil(n / m)) * m for n, m in zip(x.shape[1:], multiple, strict=True))
    budget = _free_bytes(device) // 2 if memory_bytes is None else memory_bytes
    wanted = shape
    if tile is not None:
        wanted = tuple(min(n, math.ceil(t / m) * m) for n, t, m in zip(shape, tile, multiple, strict=True))
    size = tile_shape(wanted, multiple, budget / bytes_per_voxel)
    while True:
        padded, inner = _pad(x, size)
        try:
            probs = _blended(networks, padded, size, overlap, device)
            return probs[inner].contiguous()
        except torch.OutOfMemoryError:  # the estimate was too low for this device: smaller tiles
            smaller = tile_shape(size, multiple, math.prod(size) / 2)
            if smaller == size:
                raise
            size = smaller
        torch.cuda.empty_cache()


@torch.inference_mode()
def _blended(
    networks: Sequence[nn.Module], x: Tensor, size: tuple[int, ...], overlap: float, device: torch.device
) -> Tensor:
    """x (C, ...) in tiles of ``size`` -> (K, ...)."""
    shape = tuple(x.shape[1:])
    if size == shape:
        return _mean_softmax(networks, x.to(device)).cpu()
    result: Tensor | None = None
    axes = [axis_tiles(length, t, overlap) for length, t in zip(shape, size, strict=True)]
    for tiles in itertools.product(*axes):
        where = (slice(None), *(slice(start, start + weights.size) for start, weights in tiles))
        probs = _mean_softmax(networks, x[where].to(device)).cpu()
        for axis, (_, weights) in enumerate(tiles):
            probs *= torch.from_numpy(weights).view(-1, *[1] * (len(size) - 1 - axis))
        if result is None:
            result = torch.zeros(probs.shape[0], *shape)
        result[where] += probs
    assert result is not None
    return result


def _mean_softmax(networks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """(C, ...) -> (K, ...)."""
    total: Tensor | None = None
    for network in networks:
        probs = network(x[None], drop=None, norm="running").logits[0].float().softmax(0)
        total = probs if total is None else total.add_(probs)
    if total is None:
        raise ValueError("no network to predict with")
    return total.div_(len(networks)) if len(networks) > 1 else total


def _pad(x: Tensor, least: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """x (C, ...) padded with zeros to the size ``least``, and where the image lies in it."""
    inner, pads = [slice(None)], []
    for n, wanted in zip(x.shape[1:], least, strict=True):
        missing = max(0, wanted - n)
        before = missing // 2
        inner.append(slice(before, before + n))
        pads.append((before, missing - before))
    flat = [amount for pair in reversed(pads) for amount in pair]
    return (F.pad(x, flat) if any(flat) else x), tuple(inner)


def _device(networks: Sequence[nn.Module]) -> torch.device:
    for network in networks:
        for tensor in itertools.chain(network.parameters(), network.buffers()):
            return tensor.device
    return torch.device("cpu")


def _free_bytes(device: torch.device) -> int:
    """Free memory of the device; memory that torch's cache holds unused counts as free."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return free_bytes()
