"""``--watch``: which voxels, classes and cases its Dice counts."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import load_cohort
from semivox.evaluation import overlap_dice
from semivox.runs import watch


def test_only_what_is_known_of_a_case_counts(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semivox.cohort.phantom import write_phantom_cohort

    data = write_phantom_cohort(tmp_path_factory.mktemp("watch"), labeled=4, unlabeled=0, test=0, classes=2)[
        0
    ]
    described = (data / "dataset.json").read_text()
    (data / "dataset.json").write_text(described.replace('"ventricle": 2', '"ventricle": 2, "ignore": 3'))
    labels = sorted((data / "labelsTr").iterdir())
    first, second, third, fourth = (path.name.split(".")[0] for path in labels)
    (data / "cases.csv").write_text(
        f"case,annotated,role\n{first},,\n{second},atrium,\n{third},,\n{fourth},,unlabeled\n"
    )
    image = nib.load(labels[2])
    nib.save(nib.Nifti1Image(np.full(image.shape, 3, np.uint8), image.affine), labels[2])
    nothing_drawn = shutil.copytree(data, tmp_path_factory.mktemp("none") / "data")
    truth = [np.asarray(nib.load(path).dataobj) for path in labels]

    def predict(self: object, volume: Any) -> SimpleNamespace:
        mask = np.zeros(volume.shape, np.uint8)
        mask[:, :, ::2] = 1
        return SimpleNamespace(mask=mask)

    monkeypatch.setattr(watch.Model, "predict", predict)
    cohort = load_cohort(data)

    def measured(folder: Path) -> dict[str, float | None]:
        return watch.Watch(folder, cast(Any, None), cohort, 10).measure([])

    found = measured(data)
    each = []
    for label in truth[:2]:
        mask = np.zeros(label.shape, bool)
        mask[:, :, ::2] = True
        each.append(overlap_dice(mask, label == 1))
    assert found["atrium"] == pytest.approx(np.mean(each))
    assert found["ventricle"] == 0  # of the first case alone
    (nothing_drawn / "cases.csv").write_text(
        f"case,role\n{first},unlabeled\n{second},unlabeled\n{fourth},unlabeled\n"
    )
    assert set(measured(nothing_drawn).values()) == {None}
