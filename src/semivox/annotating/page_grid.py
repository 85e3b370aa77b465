"""A scan as the page sees it: axes turned to the patient's, masks as class numbers, voxels as plain bytes.

Whatever the file's own axes are, they are turned here to those of :class:`PageGrid` and turned back here,
exactly; the page itself never turns anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from semivox.cohort import Orientation, Volume, orientation_of


@dataclass(frozen=True)
class PageGrid:
    """The grid of one scan on the page.

    In 3D its axes are the nearest to right-to-left, back-to-front and feet-to-head (RAS). A picture has one
    slice; its second axis goes up, for the page draws it so. Bytes run along the first axis fastest.
    """

    turn: Orientation
    shape: tuple[int, int, int]
    edges: tuple[float, float, float]

    @classmethod
    def of(cls, scan: Volume) -> PageGrid:
        """The grid for this scan. Raises DataError for an affine that cannot be inverted."""
        if scan.dims == 2:
            turn = Orientation((0, 1), (False, True))
            return cls(turn, (*scan.shape, 1), (*scan.voxel_edges, 1.0))  # type: ignore[arg-type]
        turn = orientation_of(scan.affine, 3, (0, 1, 2))
        return cls(turn, turn.reorder(scan.shape), turn.reorder(scan.voxel_edges))  # type: ignore[arg-type]

    @cached_property
    def voxels(self) -> int:
        return int(np.prod(self.shape))

    def to_page(self, array: np.ndarray) -> np.ndarray:
        """``(X, Y[, Z])`` in the file's axes -> ``shape``; a view."""
        return self.turn.apply(array[None])[0].reshape(self.shape)

    def from_page(self, raw: bytes) -> np.ndarray:
        """Class numbers as the page sends them, a byte a voxel -> ``(X, Y[, Z])`` in the file's axes."""
        array = np.frombuffer(raw, np.uint8).reshape(self.shape, order="F")
        flat = len(self.turn.permutation) == 2
        turned = array[..., 0] if flat else array
        return np.ascontiguousarray(self.turn.invert(turned[None])[0])


def to_numbers(mask: np.ndarray, values: Sequence[int], ignore: int | None) -> np.ndarray:
    """Label values -> uint8 class numbers: 0 background, k for ``values[k - 1]``, then one for ``ignore``.
    Other values become background."""
    if mask.dtype == np.uint8:
        table = np.zeros(256, np.uint8)
        for number, value in enumerate(known(values, ignore), start=1):
            if value < 256:
                table[value] = number
        return table[mask]
    numbers = np.zeros_like(mask, np.uint8)
    for number, value in enumerate(known(values, ignore), start=1):
        numbers[mask == value] = number
    return numbers


def to_values(numbers: np.ndarray, values: Sequence[int], ignore: int | None) -> np.ndarray:
    """The inverse of :func:`to_numbers`. Raises ValueError for a number that no class has."""
    table = np.array([0, *known(values, ignore)])
    if int(numbers.max(initial=0)) >= len(table):
        raise ValueError(f"class number {int(numbers.max())} of {len(table) - 1}")
    return table[numbers]


def known(values: Sequence[int], ignore: int | None) -> tuple[int, ...]:
    """Label values in the order of their class numbers, from 1."""
    return (*values, *(() if ignore is None else (ignore,)))


def displayed(scan: Volume, grid: PageGrid, channel: int, at: int | None = None) -> bytes:
    """One channel (or a picture's colours, three bytes a pixel) on the page's grid, as plain voxels of
    :func:`kind_of`; of slice ``at`` along the last axis alone, or of all."""
    if scan.is_colour:
        array = np.stack([_slice(grid.to_page(_bytes(plane)), at) for plane in scan.array])
    else:
        array = _shown(_slice(grid.to_page(scan.array[channel]), at))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="F")


def kind_of(scan: Volume) -> str:
    """The type of the voxels that :func:`displayed` gives: uint8, int16, uint16 or float32."""
    return "uint8" if scan.is_colour else _shown(scan.array[:1, ..., :1]).dtype.name


def usual_window(scan: Volume, channel: int) -> tuple[float, float]:
    """Intensities that are shown black and white: without the darkest and the brightest 2 % of the voxels,
    counted on a part of them; all of them where these are one."""
    if scan.is_colour:
        return 0.0, 255.0
    array = scan.array[channel]
    part = _shown(array[tuple(slice(None, None, max(1, n // 64)) for n in array.shape)])
    low, high = (float(value) for value in np.percentile(part, (2, 98)))
    if low == high:
        whole = _shown(array)
        low, high = float(whole.min()), float(whole.max())
    return low, high


def _slice(array: np.ndarray, at: int | None) -> np.ndarray:
    return array if at is None else array[..., at]


def _bytes(plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.uint8:
        return plane
    low, high = float(plane.min(initial=0)), float(plane.max(initial=0))
    return np.rint((plane - low) / ((high - low) or 1.0) * 255).astype(np.uint8)


def _shown(array: np.ndarray) -> np.ndarray:
    """Of a type that the page reads; what is no number is shown as 0."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return array if array.dtype != np.int8 else array.astype(np.int16)
    return np.nan_to_num(array.astype(np.float32), posinf=0, neginf=0)
