"""Connected pieces of a region. Voxels that share a face, an edge or a corner are connected."""

from __future__ import annotations

import numpy as np


def box_of(labels: np.ndarray, value: int) -> tuple[slice, ...]:
    """The smallest box that holds the voxels with ``value``; one without voxels where there are none."""
    box = tuple(slice(0, n) for n in labels.shape)
    for axis in range(labels.ndim):
        others = tuple(a for a in range(labels.ndim) if a != axis)
        found = np.flatnonzero((labels[box] == value).any(others))
        if not len(found):
            return tuple(slice(0, 0) for _ in labels.shape)
        box = (*box[:axis], slice(int(found[0]), int(found[-1]) + 1), *box[axis + 1 :])
    return box


def count_components(region: np.ndarray) -> int:
    """Pieces of a boolean array of two or three axes."""
    return components(region)[1]


def largest_component(region: np.ndarray) -> np.ndarray:
    """The largest piece, as a boolean array; of equal ones the first, of an empty region nothing."""
    pieces, count = components(region)
    if count <= 1:
        return np.asarray(region, bool)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest: np.ndarray = pieces == first_piece(pieces, np.flatnonzero(sizes == sizes.max()))
    return largest


def first_piece(pieces: np.ndarray, among: np.ndarray) -> int:
    """Which of the pieces with the numbers ``among`` holds the first voxel; the numbers themselves follow
    no order of place."""
    return int(among[0] if len(among) == 1 else pieces.ravel()[np.isin(pieces, among).argmax()])


def components(region: np.ndarray) -> tuple[np.ndarray, int]:
    """The number of each voxel's piece, 0 outside, and how many pieces there are."""
    if not region.size:
        return np.zeros(region.shape, np.uint8), 0
    import cc3d  # not every command needs it

    connectivity = 8 if region.ndim == 2 else 26
    # as bytes: cc3d 4.1.1 gives booleans numbers outside of the region (2D), or fails (thin 3D)
    voxels = np.ascontiguousarray(region, bool).view(np.uint8)
    pieces, count = cc3d.connected_components(voxels, connectivity=connectivity, return_N=True)
    return pieces, int(count)
