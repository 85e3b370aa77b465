"""The phantom: a pure function of its key, plausible, hard for a threshold, and a proper data folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, maximum
from scipy.ndimage import label as components

import semivox.cohort.phantom as phantom
from semivox.cohort.formats import read_geometry, read_label, read_volume
from semivox.cohort.phantom import make_phantom, write_phantom_cohort
from semivox.errors import DataError, SettingsError
from semivox.randomness import Key

CASES = [make_phantom(Key(0, "tests") / i, classes=4) for i in range(8)]


def test_equal_keys_give_equal_cases_and_other_keys_others() -> None:
    image, label = make_phantom(Key(0, "tests") / 3, classes=4)
    np.testing.assert_array_equal(image.array, CASES[3][0].array)
    np.testing.assert_array_equal(label.array, CASES[3][1].array)
    np.testing.assert_array_equal(image.affine, CASES[3][0].affine)
    assert not np.array_equal(CASES[2][0].affine, CASES[3][0].affine)
    assert len({image.array.tobytes() for image, _ in CASES}) == len(CASES)


def test_fewer_classes_hide_labels_and_change_nothing_else() -> None:
    image, label = make_phantom(Key(0, "tests") / 3, classes=1)
    np.testing.assert_array_equal(image.array, CASES[3][0].array)
    np.testing.assert_array_equal(label.array, CASES[3][1].array == 1)


def test_every_class_is_there_and_the_atrium_is_one_body_of_plausible_size() -> None:
    volumes = []
    for image, label in CASES:
        assert image.array.dtype == np.int16
        assert label.array.dtype == np.uint8
        assert np.array_equal(np.unique(label.array), [0, 1, 2, 3, 4])
        atrium = label.array[0] == 1
        parts, count = components(atrium)
        assert np.bincount(parts.ravel())[1:].max() > 0.97 * atrium.sum(), f"{count} parts"
        volumes.append(atrium.sum() * np.prod(image.spacing_mm) / 1000)
    assert 15 < min(volumes) < max(volumes) < 120  # ml
    assert np.std(volumes) > 5


def test_veins_leave_the_atrium() -> None:
    """Three to five veins and the appendage reach more than 8 mm beyond the body, their number varies."""
    counts = []
    for image, label in CASES:
        atrium, spacing = np.pad(label.array[0] == 1, 1), image.spacing_mm
        core = distance_transform_edt(atrium, sampling=spacing) > 7  # no tube is that thick
        beyond_mm = distance_transform_edt(~core, sampling=spacing) - 7
        parts, found = components(atrium & (beyond_mm > 3))
        counts.append(sum(maximum(beyond_mm, parts, range(1, found + 1)) > 8))
    assert 3 <= min(counts) < max(counts) <= 6


def test_no_threshold_finds_the_atrium() -> None:
    """Other structures share its intensity, so that shape and place must be learnt."""
    for image, label in CASES:
        atrium = label.array == 1
        levels = np.percentile(image.array, np.arange(50, 99, 2))
        dice = [
            2 * (atrium & (image.array > t)).sum() / (atrium.sum() + (image.array > t).sum()) for t in levels
        ]
        assert max(dice) < 0.65
        brightness = [image.array[label.array == k].mean() for k in (1, 2, 4)]
        assert max(brightness) < 1.5 * min(brightness)
        assert image.array[atrium].mean() > 1.15 * image.array[label.array == 0].mean()


def test_grids_differ_as_scanners_do() -> None:
    affines = [make_phantom(Key(1, "grids") / i, shape=(8, 8, 6))[0].affine[:3, :3] for i in range(60)]
    spacings = np.array([np.linalg.norm(a, axis=0) for a in affines])
    directions = [a / s for a, s in zip(affines, spacings, strict=True)]
    nearest = [tuple(np.abs(d).argmax(0)) for d in directions]
    assert all(np.allclose(d.T @ d, np.eye(3)) for d in directions)
    assert all(np.abs(d).max(0).min() < 0.9999 for d in directions)  # oblique
    assert 0 < sum(order != (0, 1, 2) for order in nearest) < 20  # permuted now and then
    assert len({tuple(np.sign(d[np.abs(d).argmax(0), range(3)])) for d in directions}) > 3  # flipped too
    assert spacings.std() > 0


def test_the_anatomy_lies_in_the_patient_not_in_the_array() -> None:
    """Behind the atrium runs the descending aorta, whatever the order and direction of the file's axes."""
    for _, label in CASES:
        index = np.argwhere(label.array[0] == 4)
        low = index[
            np.argsort((label.affine[:3, :3] @ index.T)[2])[: len(index) // 8]
        ]  # below the arch's root
        behind = label.affine[:3, :3] @ low.mean(0)
        atrium = label.affine[:3, :3] @ np.argwhere(label.array[0] == 1).mean(0)
        assert behind[1] < atrium[1] - 10


@pytest.mark.parametrize(("dims", "shape"), [(3, (20, 12, 9)), (2, (24, 17)), (3, (1, 5, 4))])
def test_a_given_shape_is_kept(dims: int, shape: tuple[int, ...]) -> None:
    image, label = make_phantom(Key(5), dims, shape=shape)
    assert image.array.shape == label.array.shape == (1, *shape)
    assert image.dims == dims
    np.testing.assert_array_equal(image.affine, label.affine)


def test_a_slice_always_holds_the_atrium() -> None:
    for i in range(40):
        image, label = make_phantom(Key(2) / i, dims=2)
        assert image.array.dtype == np.uint8
        assert 0.03 < label.array.mean() < 0.4


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="2D or 3D"):
        make_phantom(Key(0), dims=4)
    with pytest.raises(SettingsError, match="1 to 4"):
        make_phantom(Key(0), classes=5)
    with pytest.raises(SettingsError, match="shape"):
        make_phantom(Key(0), dims=2, shape=(4, 4, 4))


def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "VOXELS", {2: (24, 24), 3: (16, 16, 12)})


@pytest.mark.parametrize(("dims", "ending"), [(3, ".nii.gz"), (2, ".png")])
def test_a_cohort_is_a_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dims: int, ending: str
) -> None:
    _small(monkeypatch)
    train, test = write_phantom_cohort(
        tmp_path / "new" / "data", labeled=2, unlabeled=3, test=2, dims=dims, classes=2, seed=7
    )
    assert [p.name for p in sorted(tmp_path.rglob(".*"))] == []
    for folder, images, labels in ((train, 5, 2), (test, 2, 2)):
        dataset = json.loads((folder / "dataset.json").read_text())
        assert dataset["labels"] == {"background": 0, "atrium": 1, "ventricle": 2}
        assert dataset["file_ending"] == ending
        assert dataset["numTraining"] == labels
        with (folder / "cases.csv").open() as file:
            rows = list(csv.DictReader(file))
        names = [row["case"] for row in rows]
        assert [f"{n}_0000{ending}" for n in names] == sorted(p.name for p in (folder / "imagesTr").iterdir())
        assert len(names) == images
        assert [f"{n}{ending}" for n in names[:labels]] == sorted(
            p.name for p in (folder / "labelsTr").iterdir()
        )
        for name in names[:labels]:
            image, label = make_phantom(Key(7, "phantom") / name, dims, 2)
            np.testing.assert_array_equal(
                read_volume(folder / "imagesTr" / f"{name}_0000{ending}").array, image.array
            )
            read = read_label(folder / "labelsTr" / f"{name}{ending}")
            np.testing.assert_array_equal(read.array, label.array)
            if dims == 3:
                geometry = read_geometry(folder / "imagesTr" / f"{name}_0000{ending}")
                np.testing.assert_allclose(geometry.affine, image.affine, atol=1e-4)


def test_a_cohort_does_not_depend_on_how_many_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small(monkeypatch)
    a, _ = write_phantom_cohort(tmp_path / "a", labeled=1, unlabeled=2, test=1)
    b, _ = write_phantom_cohort(tmp_path / "b", labeled=3, unlabeled=0, test=1)
    for path in (a / "imagesTr").iterdir():
        np.testing.assert_array_equal(read_volume(path).array, read_volume(b / "imagesTr" / path.name).array)


def test_an_occupied_folder_is_refused_and_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small(monkeypatch)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_phantom_cohort(tmp_path / "taken", labeled=1, unlabeled=0, test=0)
    assert (tmp_path / "taken" / "mine.txt").read_text() == "mine"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(phantom, "write_mask", full)
    with pytest.raises(DataError, match="No space left"):
        write_phantom_cohort(tmp_path / "deep" / "er", labeled=1, unlabeled=0, test=0)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
