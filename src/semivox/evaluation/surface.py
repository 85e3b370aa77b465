"""Surfaces of masks and the distances between them.

A surface voxel is a voxel of the mask with at least one face neighbour outside it; what lies beyond the
border of the image is outside. Distances run between centres of surface voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from semivox.machine import cpus


class SurfaceDistances(NamedTuple):
    """Distance of each surface voxel of one mask to the nearest surface voxel of the other, float64."""

    to_reference: np.ndarray  # one number a surface voxel of the prediction
    to_prediction: np.ndarray  # one number a surface voxel of the reference


def surface(mask: np.ndarray) -> np.ndarray:
    """Surface voxels of a boolean mask ``(X, Y[, Z])``: the mask less its erosion by the face neighbours."""
    interior = mask.copy(order="K")
    for axis in range(mask.ndim):
        inner, voxels = np.moveaxis(interior, axis, 0), np.moveaxis(mask, axis, 0)
        inner[:-1] &= voxels[1:]
        inner[1:] &= voxels[:-1]
        inner[:1] = inner[-1:] = False
    return mask & ~interior


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, *spacings: Sequence[float] | np.ndarray
) -> list[SurfaceDistances]:
    """Both directed sets of surface distances, once for each spacing.

    Parameters
    ----------
    prediction, reference
        Boolean masks of one shape ``(X, Y[, Z])``, neither empty.
    spacings
        Distance between neighbouring voxels along each axis, or the step along each axis as the columns of a
        matrix ``(3, d)`` where they are not at right angles; the answer is in the same unit.
    """
    shape = prediction.shape
    of_prediction, of_reference = surface(prediction).ravel(), surface(reference).ravel()
    at_p, at_r = np.flatnonzero(of_prediction), np.flatnonzero(of_reference)
    points_p, points_r = (np.stack(np.unravel_index(at, shape), axis=1) for at in (at_p, at_r))
    # A voxel on both surfaces has distance 0; a good prediction spares itself most searches.
    apart_p, apart_r = ~of_reference[at_p], ~of_prediction[at_r]
    answers: list[SurfaceDistances] = []
    for i, spacing in enumerate(spacings):
        scale = np.asarray(spacing, dtype=np.float64)
        if scale.ndim == 2:
            p, r = points_p @ scale.T, points_r @ scale.T
            answers.append(SurfaceDistances(_nearest(p, apart_p, r), _nearest(r, apart_r, p)))
            continue
        ratio = scale / np.asarray(spacings[0], dtype=np.float64)
        if i and np.ptp(ratio) <= 1e-9 * ratio[0]:  # the same grid but for its unit
            answers.append(SurfaceDistances(*(d * ratio[0] for d in answers[0])))
        else:
            p, r = points_p * scale, points_r * scale
            answers.append(SurfaceDistances(_nearest(p, apart_p, r), _nearest(r, apart_r, p)))
    return answers


def _nearest(points: np.ndarray, apart: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Distance of each of ``points`` (N, d) to ``targets`` (M, d); 0 where not ``apart`` (N,)."""
    # A search tree over the few surface voxels beats a distance transform of the whole box, and is exact
    # in float64. Balancing costs more than it gives for one batch of queries.
    distances = np.zeros(len(points))
    if apart.any():
        from scipy.spatial import cKDTree  # slow to load, and predict reads evaluations

        tree = cKDTree(targets, leafsize=32, balanced_tree=False, compact_nodes=False)
        distances[apart] = tree.query(points[apart], workers=cpus())[0]
    return distances
