"""Intensity changes against their formulas."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.interpolate import BSpline

from semivox.batches.augmentation import Augmentation
from semivox.batches.intensity import IntensityParameters, apply_intensity, draw_mild, draw_strong
from semivox.batches.separable import along_axes, coarsening_matrix
from semivox.errors import SettingsError
from semivox.randomness import Key
from semivox.settings import field_docs

IMAGE = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 14, 12, 9)).astype(np.float32))


def test_nothing_drawn_changes_nothing() -> None:
    assert apply_intensity(IMAGE, IntensityParameters()) is IMAGE
    off = Augmentation(enabled=False)
    assert (
        draw_mild(Key(0), off, 2, (8, 8))
        == draw_strong(Key(0), off, 2, (8, 8), (1, 1))
        == IntensityParameters()
    )


def test_mild_is_gamma_gain_offset_noise() -> None:
    before = IMAGE.clone()
    p = draw_mild(Key(2), Augmentation(), 2, (8, 8))
    assert p.gain is not None
    assert p.offset is not None
    assert p.gain[0] != p.gain[1]
    assert p.gamma is not None
    assert 0.7 <= p.gamma <= 1.5
    low, high = (f(IMAGE, dim=(1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    curved = ((IMAGE - low) / (high - low)) ** p.gamma * (high - low) + low
    exact = curved * torch.tensor(p.gain).view(2, 1, 1, 1) + torch.tensor(p.offset).view(2, 1, 1, 1)
    rest = apply_intensity(IMAGE, p) - exact
    assert rest.std() == pytest.approx(p.noise, rel=0.05)
    assert torch.equal(IMAGE, before)


def test_a_bias_field_multiplies_what_lies_above_the_least_intensity() -> None:
    low = IMAGE.amin(dim=(1, 2, 3), keepdim=True)
    even = np.full((5, 5, 5), math.log(1.5), np.float32)  # B-splines sum to one
    torch.testing.assert_close(
        apply_intensity(IMAGE, IntensityParameters(bias=even)), low + 1.5 * (IMAGE - low)
    )
    drawn = draw_mild(Key(3), Augmentation(bias=0.8), 2, (14, 12, 9)).bias
    assert drawn is not None
    places = [np.arange(n) / (n / 2) for n in IMAGE.shape[1:]]  # two cells a side
    basis = [
        np.stack([BSpline.basis_element(np.arange(k - 3, k + 2), False)(at) for k in range(5)], 1)
        for at in places
    ]
    field = np.einsum("ijk,xi,yj,zk->xyz", drawn, *(np.nan_to_num(b) for b in basis))
    slow = low + (IMAGE - low) * torch.from_numpy(np.exp(field)).float()
    changed = apply_intensity(IMAGE, IntensityParameters(bias=drawn))
    torch.testing.assert_close(changed, slow, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("patch", [(1, 1, 1), (2, 1, 3), (1, 9), (40, 7, 2)])
def test_a_bias_field_covers_crops_of_any_size_and_leaves_other_draws_alone(patch: tuple[int, ...]) -> None:
    image = torch.rand(2, *patch, generator=torch.Generator().manual_seed(0))
    with_bias = draw_mild(Key(1), Augmentation(bias=1.0), 2, patch)
    assert apply_intensity(image, with_bias).shape == image.shape
    without = draw_mild(Key(1), Augmentation(), 2, patch)
    assert without.bias is None
    assert replace(with_bias, bias=None) == without


def test_blur_is_gaussian_and_skips_thick_axes() -> None:
    blurred = apply_intensity(IMAGE, IntensityParameters(blur=(1.1, 0.7, 0.0)))
    slow = ndimage.gaussian_filter(IMAGE.numpy(), (0, 1.1, 0.7, 0), truncate=8, mode="constant")
    inner = (slice(None), slice(5, -5), slice(5, -5))
    np.testing.assert_allclose(blurred.numpy()[inner], slow[inner], atol=1e-3)
    np.testing.assert_allclose(
        apply_intensity(torch.ones(1, 9, 9), IntensityParameters(blur=(1, 2))), 1, rtol=1e-6
    )


def test_coarsening_keeps_constants_and_ramps() -> None:
    matrix = coarsening_matrix(12, 2.0)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-6)
    ramp = torch.arange(12, dtype=torch.float32)
    np.testing.assert_allclose((matrix @ ramp)[1:-1], ramp[1:-1], atol=1e-5)
    alternating = (-1.0) ** ramp
    np.testing.assert_allclose(matrix @ alternating, 0, atol=1e-6)
    np.testing.assert_allclose(coarsening_matrix(7, 1.0), np.eye(7), atol=1e-6)


def test_along_axes_is_an_einsum() -> None:
    a, b, c = torch.randn(5, 14), torch.randn(6, 12), torch.randn(7, 9)
    slow = torch.einsum("kxyz,ax,by,cz->kabc", IMAGE, a, b, c)
    torch.testing.assert_close(along_axes(IMAGE, [a, b, c]), slow, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        along_axes(IMAGE, [None, b, None]), torch.einsum("kxyz,by->kxbz", IMAGE, b), atol=1e-4, rtol=1e-4
    )


def test_contrast_gamma_cutout() -> None:
    out = apply_intensity(IMAGE, IntensityParameters(contrast=(2.0, 0.5)))
    np.testing.assert_allclose(out.mean((1, 2, 3)), IMAGE.mean((1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(out.std((1, 2, 3)) / IMAGE.std((1, 2, 3)), [2, 0.5], rtol=1e-4)
    x = IMAGE[0].numpy()
    slow = ((x - x.min()) / (x.max() - x.min())) ** 1.4 * (x.max() - x.min()) + x.min()
    np.testing.assert_allclose(apply_intensity(IMAGE, IntensityParameters(gamma=1.4))[0], slow, atol=1e-4)
    flat = apply_intensity(torch.full((1, 4, 4), 2.0), IntensityParameters(gamma=0.7))
    np.testing.assert_allclose(flat, 2.0)
    cut = apply_intensity(IMAGE, IntensityParameters(cutout=((2, 5), (0, 3), (4, 9))))
    assert (cut[:, 2:5, 0:3, 4:9] == 0).all()
    assert (cut != IMAGE).sum() == 2 * 3 * 3 * 5


def test_strong_draws_every_change_sometimes() -> None:
    augmentation = Augmentation(cutout_probability=0.5)
    drawn = [draw_strong(Key(i), augmentation, 1, (16, 16, 8), (1.0, 1.0, 5.0)) for i in range(60)]
    for name in ("blur", "coarsening", "contrast", "gamma", "offset", "cutout"):
        share = np.mean([getattr(p, name) is not None for p in drawn])
        assert 0.25 < share < 0.75, name
    assert all(p.blur is None or p.blur[2] == 0 for p in drawn)
    assert all(p.coarsening is None or p.coarsening[2] == 1 for p in drawn)
    assert all(p.cutout is None or all(0 <= a < b for a, b in p.cutout) for p in drawn)
    for p in drawn[:20]:
        assert torch.isfinite(apply_intensity(IMAGE[:1, :, :, :8], p)).all()


def test_settings_are_documented_and_checked() -> None:
    docs = field_docs(Augmentation)
    assert [f.name for f in fields(Augmentation) if not docs[f.name]] == []
    for wrong in ({"scale": (1.2, 0.8)}, {"flip_probability": 1.5}, {"noise": -1.0}, {"elastic_cells": 0}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            Augmentation(**wrong)  # type: ignore[arg-type]
