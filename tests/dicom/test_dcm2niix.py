"""A series and what dcm2niix makes of it are one scan: the same numbers in the same places."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from semivox.cohort import Volume, read_volume

from .made_series import numbers, write_series
from .test_series import TURNED

pytestmark = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="needs dcm2niix (Debian: dcm2niix)")


def at(volume: Volume, places: np.ndarray) -> np.ndarray:
    """The numbers nearest to places in mm ``(N, 3)``, which lie on the centres of voxels."""
    index = (np.c_[places, np.ones(len(places))] @ np.linalg.inv(volume.affine).T)[:, :3]
    nearest = np.rint(index).astype(int)
    assert np.abs(index - nearest).max() < 0.01
    return volume.array[0][tuple(nearest.T)]


@pytest.mark.parametrize("axes", [np.eye(3), TURNED, np.diag([1.0, 1, -1]), np.eye(3)[:, [1, 2, 0]]])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_same_numbers_in_the_same_places(tmp_path: Path, axes: np.ndarray, modality: str) -> None:
    rescaled = {"slopes": [2.5] * 8, "intercepts": [-10.0] * 8} if modality == "MR" else {}
    write_series(tmp_path / "series", numbers(), axes=axes, modality=modality, **rescaled)
    (tmp_path / "out").mkdir()
    command = ["dcm2niix", "-f", "scan", "-o", str(tmp_path / "out"), str(tmp_path / "series")]
    subprocess.run(command, check=True, capture_output=True)
    [file] = (tmp_path / "out").glob("*.nii")
    ours, theirs = read_volume(tmp_path / "series"), read_volume(file)
    assert sorted(ours.shape) == sorted(theirs.shape)
    np.testing.assert_allclose(sorted(ours.voxel_edges), sorted(theirs.voxel_edges), rtol=1e-5)
    index = np.argwhere(np.ones(ours.shape, bool))
    places = index @ ours.affine[:3, :3].T + ours.affine[:3, 3]
    np.testing.assert_allclose(at(theirs, places), ours.array[0].ravel(), rtol=1e-5)
