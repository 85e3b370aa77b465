"""Class probabilities of a scan: from overlapping windows, or from one forward where memory allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semivox.machine import free_bytes
from semivox.tiles.blend import axis_tiles, tile_shape

T = TypeVar("T")

BYTES_PER_VOXEL = 512  # activations alive at once in a forward of the 16-filter V-Net, float32
AT_ONCE = 4
"""Tiles in a forward, where memory allows. Weights are laid out anew for each forward, so that two tiles
together take 4 to 10 % less time than one after the other; more than four gain nothing."""


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
        into tiles; where it holds several tiles, up to AT_ONCE go in one forward.
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
    at_once = min(AT_ONCE, max(1, int(budget / bytes_per_voxel / math.prod(size))))
    while True:
        padded, inner = _pad(x, size)
        try:
            probs = _blended(networks, padded, size, overlap, device, at_once)
            return probs[inner].contiguous()
        except torch.OutOfMemoryError:  # the estimate was too low for this device: fewer, then smaller tiles
            smaller = tile_shape(size, multiple, math.prod(size) / 2)
            if at_once > 1:
                at_once //= 2
            elif smaller == size:
                raise
            else:
                size = smaller
        torch.cuda.empty_cache()


@torch.inference_mode()
def _blended(
    networks: Sequence[nn.Module],
    x: Tensor,
    size: tuple[int, ...],
    overlap: float,
    device: torch.device,
    at_once: int,
) -> Tensor:
    """x (C, ...) in tiles of ``size``, ``at_once`` in a forward -> (K, ...)."""
    shape = tuple(x.shape[1:])
    if size == shape:
        return _mean_softmax(networks, x[None].to(device))[0].cpu()
    result: Tensor | None = None
    axes = [axis_tiles(length, t, overlap) for length, t in zip(shape, size, strict=True)]
    for some in _batches(list(itertools.product(*axes)), at_once):
        places = [(slice(None), *(slice(start, start + w.size) for start, w in tiles)) for tiles in some]
        found = _mean_softmax(networks, torch.stack([x[where] for where in places]).to(device)).cpu()
        for where, tiles, probs in zip(places, some, found, strict=True):
            for axis, (_, weights) in enumerate(tiles):
                probs *= torch.from_numpy(weights).view(-1, *[1] * (len(size) - 1 - axis))
            if result is None:
                result = torch.zeros(probs.shape[0], *shape)
            result[where] += probs
    assert result is not None
    return result


def _batches(tiles: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """``tiles`` in as few batches of at most ``most`` as hold them, which differ by one tile at most."""
    count = -(-len(tiles) // most)
    ends = [len(tiles) * i // count for i in range(count + 1)]
    return (tiles[begin:end] for begin, end in itertools.pairwise(ends))


def _mean_softmax(networks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """(B, C, ...) -> (B, K, ...)."""
    total: Tensor | None = None
    for network in networks:
        probs = network(x, drop=None, norm="running").logits.float().softmax(1)
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
