"""The one sampling grid against slow references."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from scipy import ndimage

from semivox.batches.affine import AffineParameters, draw_affine
from semivox.batches.augmentation import Augmentation
from semivox.batches.elastic import ElasticParameters, draw_elastic
from semivox.batches.geometry import CropGeometry, cut
from semivox.randomness import Key

RNG = np.random.default_rng(0)
SCAN = RNG.normal(size=(1, 20, 18, 14)).astype(np.float32)
PICTURE = RNG.normal(size=(3, 30, 26)).astype(np.float32)


def geometry(start: tuple[int, ...], patch: tuple[int, ...], **changes: object) -> CropGeometry:
    dims = len(patch)
    arguments: dict = {"spacing": (1.0,) * dims, "affine": AffineParameters.identity(dims), **changes}
    return CropGeometry(start, patch, **arguments)


def still(patch: tuple[int, ...]) -> ElasticParameters:
    """A deformation that moves nothing: takes the interpolating way to the same voxels."""
    return ElasticParameters(
        np.zeros((len(patch), *(6 for _ in patch)), np.float32), tuple(p / 3 for p in patch)
    )


def reference(plane: np.ndarray, g: CropGeometry, field: np.ndarray | float = 0.0) -> np.ndarray:
    """Rotate in the units of the spacing by the definition, then scipy's linear interpolation."""
    dims = len(g.patch)
    units = np.array(g.spacing).reshape(-1, *[1] * dims)
    index = np.stack(np.meshgrid(*(np.arange(p) for p in g.patch), indexing="ij")).astype(float)
    half = (np.array(g.patch).reshape(units.shape) - 1) / 2
    offset = (index - half) * units  # physical offset from the centre
    sign = np.where(g.affine.flips, -1, 1) / np.array(g.affine.scale)
    offset = offset * sign.reshape(units.shape)
    turns = [("xy", -1)] if dims == 2 else [("yz", 0), ("zx", 1), ("xy", 2)]
    axis_of = {"x": 0, "y": 1, "z": 2}
    for plane_name, k in turns:
        a, b = (axis_of[c] for c in plane_name)
        angle = np.radians(g.affine.degrees[k])
        turned = offset.copy()
        turned[a] = np.cos(angle) * offset[a] - np.sin(angle) * offset[b]
        turned[b] = np.sin(angle) * offset[a] + np.cos(angle) * offset[b]
        offset = turned
    position = offset / units + half + np.array(g.start).reshape(units.shape) + field
    return np.stack([ndimage.map_coordinates(p, position, order=1, mode="grid-constant") for p in plane])


@pytest.mark.parametrize("bent", [False, True])
def test_identity_is_the_raw_crop(bent: bool) -> None:
    patch = (8, 10, 6)
    samples, inside = cut([SCAN], geometry((3, 2, 5), patch, elastic=still(patch) if bent else None))
    raw = SCAN[:, 3:11, 2:12, 5:11]
    if bent:
        np.testing.assert_allclose(samples.numpy(), raw, atol=1e-4)
    else:
        np.testing.assert_array_equal(samples.numpy(), raw)
    assert inside is None


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2)])
def test_flips_are_numpys(axes: tuple[int, ...], bent: bool) -> None:
    patch = (8, 10, 6)
    affine = AffineParameters((0.0,) * 3, (1.0,) * 3, tuple(d in axes for d in range(3)))
    g = geometry((3, -4, 5), patch, affine=affine, elastic=still(patch) if bent else None)
    samples, inside = cut([SCAN], g)
    raw = np.pad(SCAN, ((0, 0), (0, 0), (4, 0), (0, 0)))[:, 3:11, 0:10, 5:11]
    np.testing.assert_allclose(samples.numpy(), np.flip(raw, [a + 1 for a in axes]), atol=1e-4)
    assert inside is not None
    expected = np.flip(
        (np.arange(10) >= 4)[None, None, :, None] * np.ones((1, 8, 1, 6)), [a + 1 for a in axes]
    )
    np.testing.assert_array_equal(inside.numpy(), expected)


@pytest.mark.parametrize(("about", "planes"), [(2, (1, 2)), (0, (2, 3)), (1, (3, 1))])
def test_quarter_turn_is_rot90(about: int, planes: tuple[int, int]) -> None:
    degrees = tuple(90.0 if k == about else 0.0 for k in range(3))
    affine = AffineParameters(degrees, (1.0,) * 3, (False,) * 3)
    samples, _ = cut([SCAN], geometry((5, 4, 3), (8, 8, 8), affine=affine))
    raw = SCAN[:, 5:13, 4:12, 3:11]
    np.testing.assert_allclose(samples.numpy(), np.rot90(raw, -1, planes), atol=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 4.0)])
@pytest.mark.parametrize("start", [(4, 3, 2), (-5, 10, -3)])
def test_rotation_is_rigid_in_the_spacing(spacing: tuple[float, ...], start: tuple[int, ...]) -> None:
    affine = AffineParameters((8.0, -6.0, 25.0), (1.1, 1.1, 0.9), (True, False, False))
    g = geometry(start, (10, 9, 8), spacing=spacing, affine=affine)
    samples, inside = cut([SCAN], g)
    np.testing.assert_allclose(samples.numpy(), reference(SCAN, g), atol=2e-4)
    covered = reference(np.ones_like(SCAN), g)
    clear = np.abs(covered - 0.5) > 1e-3
    found = np.ones_like(covered) if inside is None else inside.numpy()
    np.testing.assert_array_equal(found[clear], covered[clear] > 0.5)


def test_elastic_and_margin_against_the_reference() -> None:
    patch = (10, 12, 8)
    augmentation = Augmentation(elastic_probability=1.0, elastic_amplitude=0.4)
    elastic = draw_elastic(Key(5), augmentation, patch, (1.0, 1.0, 1.0))
    assert elastic is not None
    field = elastic.field(patch).numpy()
    assert np.abs(field).max() > 0.3
    assert (np.abs(field).reshape(3, -1).max(1) <= elastic.largest + 1e-6).all()
    affine = AffineParameters((3.0, 5.0, -20.0), (1.1,) * 3, (False, True, False))
    g = geometry((4, 3, 3), patch, affine=affine, elastic=elastic)
    samples, _ = cut([SCAN], g)
    np.testing.assert_allclose(samples.numpy(), reference(SCAN, g, field), atol=2e-4)
    wide, _ = cut([SCAN], g, margin=(3, 2, 5))
    np.testing.assert_allclose(wide[:, 3:-3, 2:-2, 5:-5].numpy(), samples.numpy(), atol=1e-4)
    enlarged = replace(g, start=(1, 1, -2), patch=(16, 16, 18), elastic=None)
    field = np.pad(field, ((0, 0), (3, 3), (2, 2), (5, 5)), mode="edge")
    np.testing.assert_allclose(wide.numpy(), reference(SCAN, enlarged, field), atol=2e-4)


def test_spline_field_is_the_tensor_product() -> None:
    controls = RNG.normal(size=(2, 7, 6)).astype(np.float32)
    field = ElasticParameters(controls, (4.0, 5.0)).field((14, 12)).numpy()

    def basis(t: float) -> float:
        t = abs(t)
        return 2 / 3 - t * t + t**3 / 2 if t < 1 else max(0.0, 2 - t) ** 3 / 6

    for x, y in ((0, 0), (5, 7), (13, 11)):
        weights = np.array(
            [[basis(x / 4 + 1 - i) * basis(y / 5 + 1 - j) for j in range(6)] for i in range(7)]
        )
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(field[:, x, y], (controls * weights).sum((1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_two_dimensions(channels: int) -> None:
    picture = PICTURE[:channels]
    affine = AffineParameters((33.0,), (0.9, 0.9), (False, True))
    g = geometry((6, 5), (14, 12), spacing=(1.0, 1.5), affine=affine)
    samples, _ = cut([picture, picture[:1]], g)
    np.testing.assert_allclose(
        samples.numpy(), reference(np.concatenate([picture, picture[:1]]), g), atol=2e-4
    )


class Watched(np.ndarray):
    """An array that remembers which boxes of it were read."""

    boxes: ClassVar[list[tuple[slice, ...]]] = []

    def __getitem__(self, window: object) -> np.ndarray:
        if isinstance(window, tuple):
            self.boxes.append(window[1:])
        return np.asarray(self)[window]  # type: ignore[index]


def test_only_the_needed_box_is_read() -> None:
    scan = np.ones((1, 60, 60, 40), np.float32).view(Watched)
    turn = AffineParameters((0.0, 0.0, 20.0), (1.0,) * 3, (False,) * 3)
    for change, spare in ((AffineParameters.identity(3), 0), (turn, 5)):
        Watched.boxes.clear()
        cut([scan], geometry((22, 22, 15), (12, 12, 8), affine=change))
        (box,) = Watched.boxes
        for side, start, size in zip(box, (22, 22, 15), (12, 12, 8), strict=True):
            assert start - spare <= side.start <= start
            assert start + size <= side.stop <= start + size + spare


def test_a_constant_deformation_is_a_shift() -> None:
    """The box that is read follows the deformation, and so does the margin."""
    patch = (8, 9, 6)
    shift = np.array([-3, 4, 2], np.float32).reshape(3, 1, 1, 1)
    elastic = ElasticParameters(still(patch).controls + shift, still(patch).cell)
    samples, inside = cut([SCAN], geometry((6, 3, 4), patch, elastic=elastic), margin=(1, 2, 0))
    np.testing.assert_allclose(samples.numpy(), SCAN[:, 2:12, 5:18, 6:12], atol=2e-4)
    # the shifted crop lies inside the scan, though its bound may not say so
    assert inside is None or bool((inside == 1).all())


def test_draws_keep_their_ranges_and_thick_axes_still() -> None:
    augmentation = Augmentation(elastic_probability=1.0, tilt_degrees=7.0)
    turns = []
    for i in range(60):
        thick = draw_affine(Key(i), augmentation, (1.0, 1.1, 5.0))
        assert thick.degrees[:2] == (0.0, 0.0)
        assert thick.scale[2] == 1.0
        assert thick.matrix((1.0, 1.1, 5.0))[2].tolist() == [0.0, 0.0, 1.0]
        assert not thick.flips[2]
        bent = draw_elastic(Key(i), augmentation, (16, 16, 8), (1.0, 1.1, 5.0))
        assert bent is not None
        assert (bent.controls[2] == 0).all()
        free = draw_affine(Key(i), augmentation, (1.0, 1.0, 1.2))
        assert 0.8 <= free.scale[2] <= 1.25
        assert max(map(abs, free.degrees[:2])) <= 7
        turns.append(free.degrees)
    spread = np.abs(turns).max(0)
    assert (spread > [5, 5, 15]).all()
    assert spread[2] <= 20


def test_flip_axes_can_be_chosen() -> None:
    for axes in ((), (1,), (2,)):
        augmentation = Augmentation(flip_axes=axes)
        flips = np.array([draw_affine(Key(i), augmentation, (1.0,) * 3).flips for i in range(60)])
        assert flips.any(0).tolist() == [d in axes for d in range(3)]
    share = np.mean([draw_affine(Key(i), Augmentation(), (1.0,) * 3).flips for i in range(300)], axis=0)
    assert (np.abs(share[:2] - 0.5) < 0.1).all()
