"""Turning a scan's own axes to RAS and then to the plan's axis order, and exactly back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import nibabel as nib
import numpy as np

from semivox.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class Orientation:
    """Working axis i is file axis ``permutation[i]``, reversed where ``flips[i]``."""

    permutation: tuple[int, ...]
    flips: tuple[bool, ...]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """``(C, file axes)`` -> ``(C, working axes)``; a view."""
        turned = array.transpose(0, *(p + 1 for p in self.permutation))
        return turned[self._reversal()]

    def invert(self, array: np.ndarray) -> np.ndarray:
        """``(C, working axes)`` -> ``(C, file axes)``; a view; the exact inverse of :meth:`apply`."""
        back = np.argsort(self.permutation)
        return array[self._reversal()].transpose(0, *(int(b) + 1 for b in back))

    def reorder(self, values: Sequence[T]) -> tuple[T, ...]:
        """One value a file axis (shape, spacing) -> the same values a working axis."""
        return tuple(values[p] for p in self.permutation)

    def _reversal(self) -> tuple[slice, ...]:
        return (slice(None), *(slice(None, None, -1) if flip else slice(None) for flip in self.flips))


def orientation_of(affine: np.ndarray, dims: int, axes: Sequence[int]) -> Orientation:
    """How a scan with this ``(4, 4)`` RAS+ affine is turned to working axes.

    Working axis i is RAS axis ``axes[i]`` (``Plan.axes``). An oblique scan uses the nearest anatomical axes
    (nibabel's ``io_orientation``); nothing is interpolated. In 2D there is no anatomy: axes keep their
    direction and only follow ``axes``, which is the identity for ``(0, 1)``.

    Raises
    ------
    DataError
        The affine is not invertible or not finite.
    """
    if sorted(axes) != list(range(dims)):
        raise ValueError(f"axes must be an order of 0..{dims - 1}, not {tuple(axes)}")
    if dims == 2:
        return Orientation(tuple(axes), (False, False))
    axes_mm = affine[:3, :3]
    # the determinant of the directions: that of the axes themselves is as small as the voxels
    lengths = np.linalg.norm(axes_mm, axis=0)
    if not np.isfinite(affine).all() or not lengths.all() or abs(np.linalg.det(axes_mm / lengths)) < 1e-6:
        raise DataError(
            "the scan's affine is not invertible",
            found=np.asarray(affine).tolist(),
            expected="three independent axes in mm",
            remedy="repair the file's header",
        )
    to_ras = nib.orientations.io_orientation(affine)  # row p: the RAS axis of file axis p, and its sign
    file_axis = {int(ras): p for p, (ras, _) in enumerate(to_ras)}
    permutation = tuple(file_axis[a] for a in axes)
    return Orientation(permutation, tuple(bool(to_ras[p, 1] < 0) for p in permutation))


def slice_axis(shape: Sequence[int], edges: Sequence[float]) -> int:
    """The axis along which slices of a 3D scan follow one another, which was turned to RAS: one of a single
    voxel, else that of the widest spacing, the last where all are alike."""
    single = [axis for axis in range(3) if shape[axis] == 1]
    if single:
        return single[-1]
    return 2 if edges[2] * 1.01 >= max(edges) else int(np.argmax(edges))
