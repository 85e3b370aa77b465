"""What the package's network sees in a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import semivox
from semivox.cohort import Volume, write_volume
from semivox.errors import SettingsError
from semivox.inference import load_networks
from semivox.networks import fitting_weights
from semivox.networks.build import build_network
from semivox.prepare.architecture import choose_network
from semivox.pretrained.generated import FOLDER
from semivox.randomness import Key
from semivox.ranking import scan_features as room

RNG = np.random.default_rng(5)


def cubes(shape: tuple[int, ...] = (32, 32, 32), channels: int = 1) -> np.ndarray:
    return RNG.normal(100, 20, (channels, *shape)).astype(np.float32).cumsum(1)


def test_they_are_the_mean_of_the_deepest_features_of_the_whole_scan() -> None:
    array = cubes()
    (given,) = load_networks(FOLDER / "unet3d").values()
    own = build_network(choose_network((16, 16, 16), (1, 1, 1), "unet"), 1, 2, Key(7))
    assert len(own.plan.features) == 3
    deep = build_network(
        choose_network((32, 32, 32), (1, 1, 1), "unet"), 1, given.classes, Key(7)
    )  # four levels, as the package's
    deep.load_state_dict({**deep.state_dict(), **fitting_weights(given.state_dict(), deep)})
    x = torch.from_numpy((array - array.mean()) / array.std())[None].float()
    deep.keep_features = True
    with torch.no_grad():
        expected = deep(x).features["bottleneck"].numpy().mean((0, 2, 3, 4))
    found = semivox.scan_features(Volume(array, np.eye(4)))
    assert (found.shape, found.dtype) == ((128,), np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_how_a_scan_lies_in_its_file_and_its_unit_of_intensity_do_not_count(tmp_path: Path) -> None:
    array = cubes((24, 20, 8))
    thick = np.diag([1.0, 1.0, 4.0, 1.0])
    one = semivox.scan_features(Volume(array, thick))
    turned = np.ascontiguousarray(array[:, ::-1].transpose(0, 3, 1, 2))
    affine = thick[:, [2, 0, 1, 3]] * np.array([1, -1, 1, 1])
    affine[:3, 3] = 0
    np.testing.assert_allclose(semivox.scan_features(Volume(turned, affine)), one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(semivox.scan_features(Volume(array * 7 - 3000, thick)), one, atol=1e-4)
    path = tmp_path / "scan.nii.gz"
    write_volume(path, array, like=Volume(array, thick))
    np.testing.assert_allclose(semivox.scan_features(path), one, atol=1e-6)
    assert np.abs(semivox.scan_features(Volume(cubes((24, 20, 8)), thick)) - one).max() > 0.01


@pytest.mark.parametrize("shape", [(160, 130, 90), (1, 40, 40), (3, 3, 3), (300, 300, 4)])
def test_scans_of_any_size_and_channels_have_as_many(shape: tuple[int, ...]) -> None:
    for channels in (1, 2):
        found = semivox.scan_features(Volume(cubes(shape, channels), np.diag([0.5, 0.5, 2.0, 1.0])))
        assert found.shape == (128,)
        assert np.isfinite(found).all()


def test_a_large_scan_is_seen_whole_on_a_coarser_grid() -> None:
    grid = room._grid(Volume(cubes((160, 130, 90)), np.eye(4)))
    assert 0.6 * room.VOXELS < np.prod(grid.working_shape) <= room.VOXELS
    assert max(grid.spacing) < 1.05 * min(grid.spacing)


def test_2d_scans_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"no generated weights for 2D scans"):
        semivox.scan_features(Volume(RNG.normal(size=(3, 40, 40)), np.eye(4)))
