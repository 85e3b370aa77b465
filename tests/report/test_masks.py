from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semivox.cohort import load_cohort
from semivox.errors import DataError
from semivox.report.masks import mask_figure

Folders = tuple[Path, Path]


def perfect(data: Path, out: Path) -> Path:
    out.mkdir()
    for case in load_cohort(data).cases:
        assert case.label is not None
        shutil.copy(case.label, out / case.label.name)
    return out


@pytest.mark.parametrize("which", ["phantoms", "flat_phantoms"])
def test_a_picture_has_a_panel_for_each_case_and_folder(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    data = request.getfixturevalue(which)[1]
    masks = perfect(data, tmp_path / "masks")
    sizes = []
    for columns in (1, 2):
        folders = {f"m{i}": masks for i in range(columns)}
        path = mask_figure(data, folders, tmp_path / f"{columns}.png", cases=2, title="Masks")
        picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
        orange = (abs(picture - np.array([0xE6, 0x9F, 0x00])) < 40).all(-1)
        assert orange.sum() > 20 * columns, "outlines of class 1 are drawn"
        sizes.append(picture.shape)
    assert sizes[1][1] > 1.5 * sizes[0][1]


def test_a_missing_mask_is_named(phantoms: Folders, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"no mask of case 'phantom_.*predict"):
        mask_figure(phantoms[1], {"m": tmp_path / "masks"}, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
