"""A scan's appearance: what it does not depend on, and that what a network would see otherwise shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from semivox.cohort import Volume
from semivox.inference.likeness import unlike
from semivox.prepare import ChannelPlan, appearance

MRI = (ChannelPlan("mri", "zscore"),)


def scan(seed: int, size: tuple[int, ...] = (40, 36, 30), spacing: float = 1.0) -> Volume:
    """An ellipsoid of two tissues in noise, of a shape of its own."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    radii = rng.uniform(0.55, 0.75, len(size)).reshape(-1, *(1,) * len(size))
    inside = (np.square(grid / radii).sum(0)) ** 0.5
    array = 200.0 * (inside < 1) + 300.0 * (inside < 0.5) + rng.normal(0, 25, size) + 100
    smooth = ndimage.gaussian_filter(array, 0.7)
    return Volume(smooth[None].astype(np.float32), np.diag([spacing] * 3 + [1.0]))


def changed(
    volume: Volume, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None
) -> Volume:
    return Volume(np.stack([change(c) for c in volume.array]), volume.affine if affine is None else affine)


def gamma(power: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: ((x - x.min()) / (x.max() - x.min())) ** power


OTHERS = [appearance(scan(i), MRI) for i in range(8)]
PATIENTS = list("abcdefgh")
SHIFTS: dict[str, tuple[str, Callable[[Volume], Volume]]] = {
    "contrast": ("intensities", lambda v: changed(v, gamma(3.0))),
    "inverted": ("intensities", lambda v: changed(v, lambda x: -x)),
    "noise": ("noisier", lambda v: changed(v, lambda x: x + np.random.default_rng(9).normal(0, 90, x.shape))),
    "blur": ("blurred", lambda v: changed(v, lambda x: ndimage.gaussian_filter(x, 2.0))),
    "cut": ("extent", lambda v: changed(v, lambda x: x[:, :, :15])),
    "spacing": ("voxels", lambda v: changed(v, lambda x: x, np.diag([2.0, 2.0, 2.0, 1.0]))),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_scan_of_another_kind_is_unlike_the_others(shift: str) -> None:
    words, change = SHIFTS[shift]
    assert any(words in reason for reason in unlike(appearance(change(scan(20)), MRI), OTHERS, PATIENTS))


def test_scans_of_the_same_kind_are_not() -> None:
    """Each of the four tests of eight scans may be wrong now and then, were they exact: one in nine."""
    assert sum(bool(unlike(appearance(scan(i), MRI), OTHERS, PATIENTS)) for i in range(20, 40)) <= 3


def test_what_normalisation_takes_away_and_how_the_file_is_stored_do_not_count() -> None:
    plain = scan(1)
    turned = np.ascontiguousarray(plain.array[:, ::-1].transpose(0, 3, 1, 2))
    affine = plain.affine[:, [2, 0, 1, 3]] * np.array([1, -1, 1, 1])
    for other in (changed(plain, lambda x: 3 * x + 7), Volume(turned, affine)):
        for name, numbers in appearance(other, MRI).items():
            np.testing.assert_allclose(numbers, appearance(plain, MRI)[name], atol=2e-3, err_msg=name)


def test_scans_of_one_patient_alone_and_scans_of_other_channels_tell_nothing() -> None:
    assert unlike(appearance(changed(scan(1), gamma(3.0)), MRI), OTHERS[:2], ["a", "a"]) == []
    assert unlike(OTHERS[0], [{}, {}], ["a", "b"]) == []


def test_a_flat_scan_a_slice_and_a_picture_have_finite_numbers() -> None:
    flat = Volume(np.zeros((1, 6, 5, 1), np.int16), np.eye(4))
    picture = Volume(np.random.default_rng(0).integers(0, 255, (3, 300, 20), np.uint8), np.eye(4))
    for volume in (flat, picture):
        found = appearance(volume, [ChannelPlan("c", "zscore")] * volume.channels)
        assert all(np.isfinite(numbers).all() for numbers in found.values())
        assert len(found["sharpness"]) == volume.channels * volume.dims


def test_frames_of_a_patient_do_not_tell_how_far_scans_are_apart() -> None:
    def at(x: float) -> dict[str, list[float]]:
        return {"spacing": [0.0], "extent": [x], "intensity": [0.0], "sharpness": [0.0]}

    others, patients = [at(x) for x in (0.0, 0.01, 1.0, 1.02)], list("aabb")
    # the nearest of another patient is 1.0, 0.99, 0.99 and 1.01 away, so 1.5 x 1.01 beyond 1.02 is the end
    assert unlike(at(1.02 + 1.51), others, patients) == []
    assert len(unlike(at(1.02 + 1.52), others, patients)) == 1
    assert len(unlike(at(1.02 + 0.31), others, list("abcd"))) == 1  # four patients, each near another
