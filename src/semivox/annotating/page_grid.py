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
    numbers = np.zeros(mask.shape, np.uint8)
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


def displayed(scan: Volume, grid: PageGrid, channel: int) -> bytes:
    """One channel (or a picture's colours) as an uncompressed NIfTI file on the page's grid.

    Its affine has the voxels' edges alone: the page needs no place in the room, and a viewer that is told
    none cannot turn the axes its own way.
    """
    import nibabel as nib

    if is_colour(scan):
        planes = [grid.to_page(_bytes(plane)) for plane in scan.array]
        array = np.empty(grid.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        for name, plane in zip("RGB", planes, strict=True):
            array[name] = plane
    else:
        array = grid.to_page(_plain(scan.array[channel]))
    image = nib.Nifti1Image(array, np.diag([*_shown_edges(grid.edges), 1.0]))
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def is_colour(scan: Volume) -> bool:
    """Whether three channels are red, green and blue of one picture."""
    return scan.dims == 2 and scan.channels == 3


def _shown_edges(edges: Sequence[float]) -> list[float]:
    """Viewers work in float32: edges of any unit, the largest becoming a few."""
    largest = max(edges)
    scale = 1.0 if 0.01 <= largest <= 100 else 1.0 / largest
    return [edge * scale for edge in edges]


def _bytes(plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.uint8:
        return plane
    low, high = float(plane.min(initial=0)), float(plane.max(initial=0))
    return np.rint((plane - low) / ((high - low) or 1.0) * 255).astype(np.uint8)


def _plain(array: np.ndarray) -> np.ndarray:
    """Of a type that every viewer reads; what is no number is shown as 0."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return array if array.dtype != np.int8 else array.astype(np.int16)
    return np.nan_to_num(array.astype(np.float32), posinf=0, neginf=0)
