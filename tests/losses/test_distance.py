"""Distance maps against scipy and a loop over all pairs; margins; the loss of the distance head."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from semivox.losses import (
    margin_voxels,
    sdm_loss,
    signed_distance,
    signed_distance_crop_minmax,
    signed_distance_maps,
)

SHAPES = [((7, 5), (1.0, 2.5)), ((6, 4, 5), (0.8, 1.0, 3.0)), ((6, 1, 5), (1.0, 1.0, 1.0))]


def draw(shape: tuple[int, ...], seed: int = 0, part: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < part


def blob(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    return smooth > np.quantile(smooth, 0.8)


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_equals_the_loop_over_all_pairs(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    mask, limit = draw(shape), 2.2
    places = list(itertools.product(*map(range, shape)))
    phi = signed_distance(mask, spacing, limit)
    assert phi.dtype == np.float32
    for a in places:
        d = min(
            math.dist(np.multiply(a, spacing), np.multiply(b, spacing)) for b in places if mask[b] != mask[a]
        )
        expected = (-1 if mask[a] else 1) * min(d, limit) / limit
        assert phi[a] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(40, 30), (30, 20, 25)])
def test_equals_scipy(shape: tuple[int, ...]) -> None:
    mask, spacing, limit = blob(shape), (1.25, 0.7, 2.0)[: len(shape)], 8.0
    d_out = ndimage.distance_transform_edt(~mask, sampling=spacing)
    d_in = ndimage.distance_transform_edt(mask, sampling=spacing)
    expected = np.clip(d_out - d_in, -limit, limit) / limit
    np.testing.assert_allclose(signed_distance(mask, spacing, limit), expected, atol=1e-6)


def test_layout_of_the_array_does_not_matter() -> None:
    mask, spacing = blob((20, 14, 9)), (1.0, 2.0, 3.0)
    expected = signed_distance(mask, spacing, 6.0)
    np.testing.assert_array_equal(signed_distance(np.asfortranarray(mask), spacing, 6.0), expected)
    turned = signed_distance(mask.transpose(2, 0, 1), (3.0, 1.0, 2.0), 6.0)
    np.testing.assert_allclose(turned, expected.transpose(2, 0, 1), atol=1e-6)
    flipped = signed_distance(mask[::-1, :, ::-1], spacing, 6.0)
    np.testing.assert_allclose(flipped, expected[::-1, :, ::-1], atol=1e-6)


@pytest.mark.parametrize("form", ["euclidean", "crop_minmax"])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 4)])
def test_empty_is_one_and_full_is_minus_one(form: str, shape: tuple[int, ...]) -> None:
    target = np.stack([np.zeros(shape), np.ones(shape)])
    phi = signed_distance_maps(target, (1.0,) * len(shape), 4.0, form)  # type: ignore[arg-type]
    assert (phi[0] == 1).all()
    assert (phi[1] == -1).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 1.25, 3.0)])
def test_a_crop_with_margin_equals_the_whole_volume(seed: int, spacing: tuple[float, ...]) -> None:
    mask, limit = blob((36, 32, 28), seed), 4.0
    whole = signed_distance(mask, spacing, limit)
    margin = margin_voxels(spacing, limit)
    rng = np.random.default_rng(seed)
    size = np.array([12, 10, 9])
    start = rng.integers(0, np.array(mask.shape) - size + 1)
    low = np.maximum(start - margin, 0)  # the volume's own border is a border for both
    outer = tuple(slice(a, b) for a, b in zip(low, start + size + margin, strict=True))
    inner = tuple(slice(a, a + n) for a, n in zip(start - low, size, strict=True))
    crop = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    np.testing.assert_array_equal(signed_distance(mask[outer], spacing, limit)[inner], whole[crop])


def test_the_margin_is_needed() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[4] = True
    whole = signed_distance(mask, (1.0, 1.0), 8.0)[6:]
    assert not np.array_equal(signed_distance(mask[6:], (1.0, 1.0), 8.0), whole)
    assert margin_voxels((1.0, 2.5), 8.0) == (8, 4)


def test_margin_is_enough_despite_rounding() -> None:
    for spacing, limit in [((0.1,), 0.3), ((0.7,), 2.1), ((1.1,), 3.3)]:
        (margin,) = margin_voxels(spacing, limit)
        assert margin * spacing[0] >= limit


def find_inner_boundary(mask: np.ndarray) -> np.ndarray:
    """Foreground with a background neighbour across a face, voxel by voxel."""
    inner = np.zeros_like(mask)
    for place in zip(*np.nonzero(mask), strict=True):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            other = list(place)
            other[axis] += step
            if 0 <= other[axis] < mask.shape[axis] and not mask[tuple(other)]:
                inner[place] = True
    return inner


@pytest.mark.parametrize("shape", [(20, 15), (16, 12, 10)])
def test_crop_minmax_is_the_literatures(shape: tuple[int, ...]) -> None:
    mask = blob(shape, 3)
    mask[0] = True  # touches the border, which is not a boundary
    d_out, d_in = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    expected = d_out / d_out.max() - d_in / d_in.max()
    expected[find_inner_boundary(mask)] = 0
    phi = signed_distance_crop_minmax(mask)
    np.testing.assert_allclose(phi, expected, atol=1e-6)
    assert phi.dtype == np.float32
    assert phi.max() == 1
    assert (phi == -1).any() == bool((mask & ~find_inner_boundary(mask)).any())


def test_maps_are_one_a_class_and_threshold_at_half() -> None:
    target = np.zeros((2, 9, 8), dtype=np.float32)
    target[0, 2:5, 2:5] = 0.51
    target[1, 5:8, 5:8] = 0.5  # not over one half
    maps = signed_distance_maps(target, (1.0, 1.0), 3.0)
    np.testing.assert_array_equal(maps[0], signed_distance(target[0] > 0, (1.0, 1.0), 3.0))
    assert (maps[1] == 1).all()
    minmax = signed_distance_maps(target, (1.0, 2.0), 3.0, "crop_minmax")
    np.testing.assert_array_equal(minmax[0], signed_distance_crop_minmax(target[0] > 0, (1.0, 2.0)))


def test_a_mask_is_not_changed() -> None:
    mask = blob((12, 12))
    before = mask.copy()
    signed_distance(mask, (1.0, 1.0), 3.0)
    signed_distance_crop_minmax(mask)
    np.testing.assert_array_equal(mask, before)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        signed_distance(draw((4, 4)), (1.0, 1.0), 0)
    with pytest.raises(ValueError, match="form"):
        signed_distance_maps(np.zeros((1, 4, 4)), (1.0, 1.0), 1, "minmax")  # type: ignore[arg-type]


def test_a_real_atrium(shared_data: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    file = nibabel.load(sorted((shared_data / "la" / "dev" / "labelsTr").glob("*.nii.gz"))[0])
    mask = np.asarray(file.dataobj)[::2, ::2, ::2] > 0
    spacing = tuple(2 * float(s) for s in file.header.get_zooms()[:3])
    phi = signed_distance(mask, spacing, 10.0)
    d = ndimage.distance_transform_edt(~mask, spacing) - ndimage.distance_transform_edt(mask, spacing)
    np.testing.assert_allclose(phi, np.clip(d, -10, 10) / 10, atol=1e-5)


def test_sdm_loss_equals_the_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    sdm, target = (torch.rand(3, 2, 4, 3, 2, generator=rng, dtype=torch.float64) for _ in range(2))
    valid = (torch.rand(3, 1, 4, 3, 2, generator=rng) < 0.7).double()
    annotated = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    errors = [
        (sdm[b, c, x, y, z] - target[b, c, x, y, z]).item() ** 2
        for b, c, x, y, z in itertools.product(range(3), range(2), range(4), range(3), range(2))
        if valid[b, 0, x, y, z] and annotated[b, c]
    ]
    assert sdm_loss(sdm, target, valid, annotated).item() == pytest.approx(sum(errors) / len(errors))
    sdm.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: sdm_loss(s, target, valid, annotated), sdm)
    for nothing in ((0 * valid, annotated), (valid, 0 * annotated)):
        loss = sdm_loss(sdm, target, *nothing)
        assert loss.item() == 0
        assert torch.autograd.grad(loss, sdm)[0].abs().max() == 0
    with pytest.raises(ValueError, match="expected"):
        sdm_loss(sdm, target[:, :1], valid, annotated)
