"""``--watch``: which voxels, classes and cases its Dice counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import load_cohort
from semivox.commands.train import train
from semivox.errors import DataError
from semivox.evaluation import overlap_dice
from semivox.runs import watch
from semivox.testing.displays import Told
from semivox.training.journal import read_journal


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
        return watch.Watch(folder, cast(Any, SimpleNamespace(dims=3)), cohort, 10).measure([])

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


# ---- watched cases that cannot be measured

Folders = tuple[Path, Path]
Change = Callable[[Any], Any]


def changed(path: Path, change: Change) -> None:
    """The image of ``change(array, affine)`` in place of that of ``path``."""
    image = nib.load(path)
    array, affine = change((np.asarray(image.dataobj).copy(), image.affine))
    nib.save(nib.Nifti1Image(array, affine), path)


def set_first(value: float) -> Change:
    def change(both: Any) -> Any:
        array = both[0].astype(np.float32) if np.isnan(value) else both[0]
        array[0, 0, 0] = value
        return array, both[1]

    return change


def mirrored(both: Any) -> Any:
    """The same anatomy, stored with its first axis the other way."""
    turn = np.diag([-1.0, 1, 1, 1])
    turn[0, 3] = both[0].shape[0] - 1
    return both[0][::-1], both[1] @ turn


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("labelsTr", lambda both: (both[0][:-1], both[1]), "does not lie on its image's grid"),
        ("labelsTr", mirrored, "does not lie on its image's grid"),
        ("labelsTr", set_first(9), "a label value outside"),
        ("imagesTr", set_first(np.nan), "the image holds NaN or infinity; found 1 of"),
        ("imagesTr", lambda both: (both[0][:, :, 5], both[1]), "other dimensions than those of the training"),
        (
            "imagesTr",
            lambda both: (np.stack([both[0]] * 2, 3)[:, :, :, None], both[1]),
            "other channels than those of the training",
        ),
    ],
    ids=["shape", "mirrored", "value", "nan", "dimensions", "channels"],
)
def test_a_watched_case_that_cannot_be_measured_is_refused_before_anything_is_prepared(
    part: str, change: Change, said: str, phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    data = shutil.copytree(phantoms[0], tmp_path / "watched")
    label = sorted((data / "labelsTr").iterdir())[-1]
    name = label.name.replace(".nii", "_0000.nii") if part == "imagesTr" else label.name
    changed(data / part / name, change)
    with pytest.raises(DataError) as caught:
        train(
            phantoms[0], tmp_path / "run", method="supervised", steps=1, settings=small,
            watch=data, cache=tmp_path / "cache",
        )  # fmt: skip
    assert said in str(caught.value)
    assert name in str(caught.value)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run/plan.json").exists()


def test_a_measurement_that_fails_is_told_and_changes_nothing(
    phantoms: Folders,
    small: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(self: object, volume: object) -> None:
        raise MemoryError("no room for it")

    told = Told()
    for out, watched in (("plain", None), ("watched", phantoms[1])):
        monkeypatch.setattr(watch.Model, "predict", fails)
        train(
            phantoms[0], tmp_path / out, method="supervised", steps=2, settings=small,
            watch=watched, cache=tmp_path / "cache", display=told,
        )  # fmt: skip
    said = capsys.readouterr().err + "\n".join(told.said)
    assert said.count("warning: the watched cases could not be measured: MemoryError: no room for it") == 2
    rows = [row for row in read_journal(tmp_path / "watched/metrics.jsonl") if row["kind"] == "watch"]
    assert [set(row["dice"].values()) for row in rows] == [{None}, {None}]
    plain, watched_too = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("plain", "watched"))
    assert plain == watched_too
