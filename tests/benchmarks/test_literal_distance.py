"""The published loop over samples, in its twin, gives the literature's form of our distance maps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from literal.distance import compute_sdf, inner_boundaries
from semivox.losses import signed_distance_maps


@pytest.mark.parametrize("shape", [(18, 15), (14, 12, 10)])
def test_crop_minmax_is_the_published_map(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    smooth = [ndimage.gaussian_filter(rng.standard_normal(shape), 2) for _ in range(4)]
    masks = np.stack([s > np.quantile(s, 0.7) for s in smooth])
    masks[0, 0] = True  # touches the border
    found = signed_distance_maps(masks, (1.0,) * len(shape), 1.0, "crop_minmax")
    np.testing.assert_allclose(found, compute_sdf(masks.astype(np.int64)), atol=1e-6)


def test_the_inner_boundary_has_a_background_voxel_across_a_face() -> None:
    mask = np.random.default_rng(1).random((6, 5, 4)) < 0.6
    found = inner_boundaries(mask)
    for place in product(*map(range, mask.shape)):
        outside = False
        for axis, step in product(range(3), (-1, 1)):
            other = list(place)
            other[axis] += step
            if 0 <= other[axis] < mask.shape[axis]:
                outside |= not mask[tuple(other)]
        assert found[place] == (mask[place] and outside)
