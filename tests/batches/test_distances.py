"""Distance targets of crops, against those of a margin as wide as the limit."""

from __future__ import annotations

import numpy as np
import pytest

from semivox.batches.affine import AffineParameters
from semivox.batches.augmentation import Augmentation
from semivox.batches.distances import distance_targets
from semivox.batches.elastic import draw_elastic
from semivox.batches.geometry import CropGeometry, cut
from semivox.losses import margin_voxels, signed_distance
from semivox.randomness import Key

SHAPE = (14, 11, 5)
PLAIN = AffineParameters.identity
TURNED = AffineParameters((0.0, 0.0, 30.0), (1.2, 0.8, 1.0), (True, False, False))
TURNED_2D = AffineParameters((30.0,), (1.2, 0.8), (True, False))
PLACES = {
    "inside": CropGeometry((2, 1), (8, 8), (1.0, 1.0), PLAIN(2)),
    "at the edge": CropGeometry((0, 3), (8, 8), (1.0, 1.0), PLAIN(2)),
    "larger than the scan": CropGeometry((-3, -4), (20, 20), (1.0, 1.0), PLAIN(2)),
    "turned": CropGeometry((5, 1), (8, 8), (1.0, 0.7), TURNED_2D),
    "thick slices": CropGeometry((2, 1, -2), (8, 8, 8), (0.6, 0.6, 3.0), PLAIN(3)),
    "thick and turned": CropGeometry((6, 0, 0), (8, 8, 4), (0.6, 0.6, 3.0), TURNED),
}


def label_like(dims: int) -> np.ndarray:
    """(2, ...): a block that ends at the scan's edge, and a voxel."""
    label = np.zeros((2, *SHAPE[:dims]), np.uint8)
    label[0, 9:, 2:6] = 255
    label[1, 3, 4] = 255
    return label


def with_all_of_the_limit(
    label: np.ndarray, geometry: CropGeometry, limit: float, margin: float
) -> np.ndarray:
    wide = margin_voxels(geometry.spacing, margin)
    inside = cut([label], geometry, wide, mark_inside=False)[0].numpy() > 127
    inner = tuple(slice(m, m + p) for m, p in zip(wide, geometry.patch, strict=True))
    return np.stack([signed_distance(plane, geometry.spacing, limit)[inner] for plane in inside])


@pytest.mark.parametrize("bent", [False, True], ids=["straight", "bent"])
@pytest.mark.parametrize("limit", [2.5, 9.0, 15.0])
@pytest.mark.parametrize("place", PLACES)
def test_no_distance_up_to_the_limit_is_cut_off(place: str, limit: float, bent: bool) -> None:
    geometry, label = _bent(PLACES[place], bent), label_like(len(PLACES[place].patch))
    found = distance_targets(label, geometry, limit, "euclidean")
    np.testing.assert_allclose(found, with_all_of_the_limit(label, geometry, limit, limit), atol=1e-6)


@pytest.mark.parametrize("bent", [False, True], ids=["straight", "bent"])
@pytest.mark.parametrize("place", PLACES)
def test_no_limit_is_too_far(place: str, bent: bool) -> None:
    geometry, label = _bent(PLACES[place], bent), label_like(len(PLACES[place].patch))
    found = 1e6 * distance_targets(label, geometry, 1e6, "euclidean")
    np.testing.assert_allclose(found, 1e6 * with_all_of_the_limit(label, geometry, 1e6, 25.0), rtol=1e-4)


def _bent(geometry: CropGeometry, bent: bool) -> CropGeometry:
    if not bent:
        return geometry
    always = Augmentation(elastic_probability=1.0, elastic_amplitude=0.3)
    return CropGeometry(
        geometry.start, geometry.patch, geometry.spacing, geometry.affine,
        draw_elastic(Key(3), always, geometry.patch, geometry.spacing),
    )  # fmt: skip
