"""Changes of an image that a method makes: views for consistency and contrast, boxes that change places.

`inpaint` and `local_shuffle` keep the anatomy and follow the restoration tasks of Models Genesis (Zhou et
al., MedIA 2021): blocks painted over, and voxels shuffled within small windows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semivox.randomness import BatchKey


def inpaint(x: Tensor, key: BatchKey, blocks: int = 3, share: tuple[float, float] = (0.15, 0.3)) -> Tensor:
    """``x`` (B, C, X, Y[, Z]) with ``blocks`` boxes a sample replaced by uniform noise in the image's range.

    A box's side is a ``share`` of each axis.
    """
    size = x.shape[2:]
    # one row a box: per axis a side and a position, in 0..1
    numbers = (key / "boxes").uniform((len(x), blocks, len(size), 2))
    noise = (key / "values").uniform(tuple(x.shape)).to(x)
    result = x.clone()
    for i in range(len(x)):
        low, high = x[i].amin(), x[i].amax()
        for box in numbers[i]:
            where: list[slice] = []
            for n, (side, position) in zip(size, box.tolist(), strict=True):
                length = max(1, round(n * (share[0] + (share[1] - share[0]) * side)))
                start = int(position * (n - length + 1))
                where.append(slice(start, start + length))
            inside = (slice(None), *where)
            result[i][inside] = low + (high - low) * noise[i][inside]
    return result


def local_shuffle(x: Tensor, key: BatchKey, window: int = 4) -> Tensor:
    """``x`` (B, C, X, Y[, Z]) with the voxels of each tile permuted, by one permutation a sample.

    Tiles are ``window`` voxels wide; the rest of an axis that is no multiple of it stays as it is.
    """
    dims = x.dim() - 2
    size = [n // window * window for n in x.shape[2:]]
    inner = (slice(None), slice(None), *(slice(0, n) for n in size))
    order = (key / "order").uniform((len(x), window**dims)).argsort(1)
    tiles = x[inner].reshape(*x.shape[:2], *(part for n in size for part in (n // window, window)))
    outer, within = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    permutation = (0, 1, *outer, *within)
    flat = tiles.permute(permutation)
    counts = flat.shape[: 2 + dims]
    flat = flat.reshape(*counts, -1)
    index = order.to(x.device).view(len(x), *(1,) * (dims + 1), -1).expand_as(flat)
    mixed = flat.gather(-1, index).reshape(*counts, *(window,) * dims)
    back = torch.tensor(permutation).argsort().tolist()
    result = x.clone()
    result[inner] = mixed.permute(back).reshape(*x.shape[:2], *size)
    return result


def changed(x: Tensor, how: str, key: BatchKey) -> Tensor:
    """``x`` after ``inpaint`` or ``local_shuffle``; as it is for any other ``how``."""
    if how == "inpaint":
        return inpaint(x, key)
    return local_shuffle(x, key) if how == "local_shuffle" else x


def boxes(x: Tensor, key: BatchKey, share: float) -> Tensor:
    """(B, 1, X, Y[, Z]) 1 in a box at a random place of each crop of ``x`` (B, C, X, Y[, Z]), else 0; its
    side is ``share`` of each axis."""
    size = x.shape[2:]
    inside = torch.zeros_like(x[:, :1])
    places = key.uniform((len(x), len(size)))
    for sample, place in zip(inside, places.tolist(), strict=True):
        where = []
        for n, part in zip(size, place, strict=True):
            side = round(share * n)
            start = int(part * (n - side + 1))
            where.append(slice(start, start + side))
        sample[(slice(None), *where)] = 1
    return inside


def pasted(below: Tensor, above: Tensor, where: Tensor) -> Tensor:
    """``above`` where ``where`` is 1, else ``below``."""
    return torch.where(where > 0, above, below)
