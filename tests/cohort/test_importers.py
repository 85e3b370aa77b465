"""Importers: the field's layouts become data folders of equal values, in the list's order, or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from semivox.cohort.formats import read_geometry, read_label, read_volume
from semivox.cohort.importers import hdf5
from semivox.commands.import_data import import_data
from semivox.errors import DataError, SettingsError

RNG = np.random.default_rng(0)


def _h5(
    path: Path, shape: tuple[int, ...] = (5, 4, 3), top: int = 1, **replaced: Any
) -> dict[str, np.ndarray]:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "image": RNG.normal(size=shape).astype(np.float32),
        "label": RNG.integers(0, top + 1, shape).astype(np.uint8),
    }
    data = {name: value for name, value in (data | replaced).items() if value is not None}
    with h5py.File(path, "w") as file:
        for name, value in data.items():
            file[name] = value
    return data


def _cases(folder: Path) -> list[tuple[str, str]]:
    with (folder / "cases.csv").open() as file:
        return [(row["case"], row["patient"]) for row in csv.DictReader(file)]


def _image(folder: Path, case: str, ending: str = ".nii.gz") -> np.ndarray:
    return read_volume(folder / "imagesTr" / f"{case}_0000{ending}").array[0]


def _label(folder: Path, case: str, ending: str = ".nii.gz") -> np.ndarray:
    return read_label(folder / "labelsTr" / f"{case}{ending}").array[0]


def _dataset(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "dataset.json").read_text())


# The real files


def test_real_left_atria_are_the_published_ones(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "formats" / "uamt_h5"
    out = import_data("uamt-h5", source, tmp_path / "la", source / "train.list")
    names = json.loads((shared_data / "la" / "train" / "dataset.json").read_text())["source_ids"]
    assert [case for case, _ in _cases(out)] == [names["la_001"], names["la_002"]]
    assert "spacing_known" not in _dataset(out)
    for ours in ("la_001", "la_002"):
        imported = read_volume(out / "imagesTr" / f"{names[ours]}_0000.nii.gz")
        with h5py.File(source / names[ours] / "mri_norm2.h5") as file:
            assert imported.array.dtype == np.float32
            np.testing.assert_array_equal(imported.array[0], file["image"][()])
        kept = read_volume(shared_data / "la" / "train" / "imagesTr" / f"{ours}_0000.nii.gz")
        assert np.abs(imported.array - kept.array).max() < 1e-3  # the kept copy is stored with 8 bits
        np.testing.assert_allclose(imported.affine, kept.affine)
        truth = read_label(shared_data / "la" / "train" / "labelsTr" / f"{ours}.nii.gz")
        np.testing.assert_array_equal(_label(out, names[ours]), truth.array[0])


def test_real_acdc_slices_and_volumes_are_the_same_scans(shared_data: Path, tmp_path: Path) -> None:
    out = import_data("ssl4mis-h5", shared_data / "formats" / "ssl4mis_acdc", tmp_path / "acdc")
    assert _cases(out) == [("patient028_frame01", "patient028"), ("patient099_frame01", "patient099")]
    assert _dataset(out)["spacing_known"] is False
    assert list(_dataset(out)["labels"]) == ["background", "right_ventricle", "myocardium", "left_ventricle"]
    assert list(_dataset(out)["labels"].values()) == [0, 1, 2, 3]
    for case, _ in _cases(out):
        kept = next(shared_data.glob(f"acdc/*/imagesTr/{case}_0000.nii.gz"))
        other = read_volume(kept).array[0]
        ours = _image(out, case)
        assert np.abs(ours - other).max() <= 0.5 / 255 + 1e-4  # kept with 8 bits in 0 .. 1
        assert np.corrcoef(ours.ravel(), other.ravel())[0, 1] > 0.9999
        truth = read_label(kept.parent.parent / "labelsTr" / f"{case}.nii.gz").array[0]
        np.testing.assert_array_equal(_label(out, case), truth)


@pytest.mark.parametrize(
    ("name", "case"), [("val", "patient028_frame01"), ("train_slices", "patient099_frame01")]
)
def test_real_acdc_lists_name_frames_or_slices(
    shared_data: Path, tmp_path: Path, name: str, case: str
) -> None:
    source = shared_data / "formats" / "ssl4mis_acdc"
    out = import_data("ssl4mis-h5", source, tmp_path / "acdc", source / f"{name}.list")
    assert [c for c, _ in _cases(out)] == [case]
    assert len(list((out / "imagesTr").iterdir())) == 1


# The same layouts, small


def test_uamt_takes_both_kinds_of_entry_and_the_archives_outer_folder(tmp_path: Path) -> None:
    data = {i: _h5(tmp_path / "src" / "2018LA_Seg_Training Set" / i / "mri_norm2.h5") for i in "ABC"}
    (tmp_path / "list").write_text("# ours\nC\n\nA/mri_norm2.h5\n")
    out = import_data("uamt-h5", tmp_path / "src", tmp_path / "out", tmp_path / "list")
    assert _cases(out) == [("C", "C"), ("A", "A")]
    for case in "CA":
        np.testing.assert_array_equal(_image(out, case), data[case]["image"])
        np.testing.assert_array_equal(_label(out, case), data[case]["label"])
    geometry = read_geometry(out / "imagesTr" / "A_0000.nii.gz")
    np.testing.assert_allclose(geometry.spacing_mm, 0.625)
    assert not (out / "imagesTr" / "B_0000.nii.gz").exists()


@pytest.mark.parametrize("suffix", ["", "_norm"])
def test_pancreas_in_both_namings(tmp_path: Path, suffix: str) -> None:
    data = {n: _h5(tmp_path / "src" / f"{n}{suffix}.h5") for n in ("image0002", "image0001", "image0010")}
    (tmp_path / "list").write_text("image0010\nimage0001\n")
    out = import_data("pancreas-h5", tmp_path / "src", tmp_path / "out", tmp_path / "list")
    assert [c for c, _ in _cases(out)] == ["image0010", "image0001"]
    np.testing.assert_array_equal(_image(out, "image0010"), data["image0010"]["image"])
    assert _dataset(out)["spacing_known"] is False
    every = import_data("pancreas-h5", tmp_path / "src", tmp_path / "every")
    assert [c for c, _ in _cases(every)] == ["image0001", "image0002", "image0010"]


def test_pancreas_in_both_namings_at_once_is_refused(tmp_path: Path) -> None:
    _h5(tmp_path / "src" / "image0001.h5")
    _h5(tmp_path / "src" / "image0001_norm.h5")
    with pytest.raises(DataError, match="two files for the case image0001"):
        import_data("pancreas-h5", tmp_path / "src", tmp_path / "out")


def _acdc(root: Path, volume: bool = True) -> dict[int, dict[str, np.ndarray]]:
    if volume:
        _h5(root / "data" / "patient001_frame12.h5", (3, 6, 5), top=3)
    return {
        n: _h5(root / "data" / "slices" / f"patient002_frame01_slice_{n}.h5", (6, 5), top=3)
        for n in (10, 2, 1, 9, 3, 4, 5, 6, 7, 8)
    }


def test_acdc_slices_are_stacked_by_number_and_volumes_turned(tmp_path: Path) -> None:
    slices = _acdc(tmp_path / "src")
    out = import_data("ssl4mis-h5", tmp_path / "src", tmp_path / "out")
    assert _image(out, "patient002_frame01").shape == (6, 5, 10)
    for n, data in slices.items():
        np.testing.assert_array_equal(_image(out, "patient002_frame01")[:, :, n - 1], data["image"])
        np.testing.assert_array_equal(_label(out, "patient002_frame01")[:, :, n - 1], data["label"])
    with h5py.File(tmp_path / "src" / "data" / "patient001_frame12.h5") as file:
        for z in range(3):
            np.testing.assert_array_equal(_image(out, "patient001_frame12")[:, :, z], file["image"][z])
            np.testing.assert_array_equal(_label(out, "patient001_frame12")[:, :, z], file["label"][z])


def test_an_acdc_volume_is_preferred_to_its_slices(tmp_path: Path) -> None:
    _acdc(tmp_path / "src", volume=False)
    whole = _h5(tmp_path / "src" / "data" / "patient002_frame01.h5", (4, 6, 5), top=3)
    out = import_data("ssl4mis-h5", tmp_path / "src", tmp_path / "out")
    np.testing.assert_array_equal(_image(out, "patient002_frame01"), np.moveaxis(whole["image"], 0, -1))


def test_acdc_slices_with_a_hole_are_refused(tmp_path: Path) -> None:
    _acdc(tmp_path / "src")
    (tmp_path / "list").write_text("patient002_frame01_slice_4\npatient002_frame01_slice_5\n")
    with pytest.raises(DataError, match="only some slices"):
        import_data("ssl4mis-h5", tmp_path / "src", tmp_path / "out", tmp_path / "list")
    (tmp_path / "src" / "data" / "slices" / "patient002_frame01_slice_4.h5").unlink()
    with pytest.raises(DataError, match="without 4"):
        import_data("ssl4mis-h5", tmp_path / "src", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _nifti(path: Path, array: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([-0.7, 0.8, 2.5, 1])), path)
    return array


def _msd(root: Path, channels: int = 1) -> dict[str, np.ndarray]:
    images = {}
    for name in ("brats_010", "brats_002"):
        shape = (6, 5, 4) if channels == 1 else (6, 5, 4, channels)
        array = RNG.integers(-500, 500, shape).astype(np.int16)
        images[name] = _nifti(root / "imagesTr" / f"{name}.nii.gz", array)
        _nifti(root / "labelsTr" / f"{name}.nii.gz", RNG.integers(0, 3, (6, 5, 4)).astype(np.uint8))
    _nifti(root / "imagesTs" / "brats_099.nii.gz", images["brats_002"])
    description = {
        "name": "Brats",
        "licence": "CC-BY-SA 4.0",
        "modality": {str(i): name for i, name in enumerate(("FLAIR", "T1w", "T2w")[:channels])},
        "labels": {"0": "background", "2": "core", "1": "edema"},
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in images],
        "test": ["./imagesTs/brats_099.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return images


def test_msd_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    _msd(tmp_path / "src")
    out = import_data("msd", tmp_path / "src", tmp_path / "out")
    assert [c for c, _ in _cases(out)] == ["brats_002", "brats_010"]
    for name, _ in _cases(out):
        image = (tmp_path / "src" / "imagesTr" / f"{name}.nii.gz").read_bytes()
        assert (out / "imagesTr" / f"{name}_0000.nii.gz").read_bytes() == image
        label = (tmp_path / "src" / "labelsTr" / f"{name}.nii.gz").read_bytes()
        assert (out / "labelsTr" / f"{name}.nii.gz").read_bytes() == label
    assert not list(out.rglob("*099*"))
    dataset = _dataset(out)
    assert dataset["labels"] == {"background": 0, "core": 2, "edema": 1}
    assert dataset["licence"] == "CC-BY-SA 4.0"


def test_msd_channels_become_files(tmp_path: Path) -> None:
    images = _msd(tmp_path / "src", channels=3)
    (tmp_path / "list").write_text("brats_010.nii.gz\n")
    out = import_data("msd", tmp_path / "src", tmp_path / "out", tmp_path / "list")
    assert _dataset(out)["channel_names"] == {"0": "FLAIR", "1": "T1w", "2": "T2w"}
    assert len(list((out / "imagesTr").iterdir())) == 3
    for i in range(3):
        volume = read_volume(out / "imagesTr" / f"brats_010_{i:04d}.nii.gz")
        assert volume.array.dtype == np.int16
        np.testing.assert_array_equal(volume.array[0], images["brats_010"][..., i])
        np.testing.assert_allclose(volume.affine, np.diag([-0.7, 0.8, 2.5, 1]), atol=1e-6)


def test_msd_description_is_checked(tmp_path: Path) -> None:
    _msd(tmp_path / "src")
    path = tmp_path / "src" / "dataset.json"
    good = path.read_text()
    path.write_text(good.replace('"training"', '"trainin"'))
    with pytest.raises(DataError, match="not a Decathlon description"):
        import_data("msd", tmp_path / "src", tmp_path / "out")
    path.write_text(good.replace("labelsTr/brats_010", "labelsTr/brats_011"))
    with pytest.raises(DataError, match=r"not there.*brats_011"):
        import_data("msd", tmp_path / "src", tmp_path / "out")
    path.write_text(good.replace('"0": "FLAIR"', '"0": "FLAIR", "1": "T1w"'))
    with pytest.raises(DataError, match="number of channels"):
        import_data("msd", tmp_path / "src", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["src"]


def test_plain_folders_with_and_without_labels(tmp_path: Path) -> None:
    for name, value in (("b", 255), ("a", 7), ("c", None)):
        (tmp_path / "src" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / "labels").mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 255, (5, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "src" / "images" / f"{name}.png")
        if value is not None:
            mask = np.zeros((5, 8), np.uint8)
            mask[2, 3] = value
            Image.fromarray(mask).save(tmp_path / "src" / "labels" / f"{name}.png")
    (tmp_path / "list").write_text("b\nc\na.png\n")
    out = import_data("folders", tmp_path / "src", tmp_path / "out", tmp_path / "list")
    assert [c for c, _ in _cases(out)] == ["b", "c", "a"]
    assert sorted(p.name for p in (out / "labelsTr").iterdir()) == ["a.png", "b.png"]
    dataset = _dataset(out)
    assert dataset["labels"] == {"background": 0, "class_7": 7, "class_255": 255}
    assert dataset["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert dataset["spacing_known"] is False
    source = (tmp_path / "src" / "images" / "c.png").read_bytes()
    assert (out / "imagesTr" / "c_0000.png").read_bytes() == source


def test_plain_folders_that_do_not_pair_are_refused(tmp_path: Path) -> None:
    volume = np.zeros((4, 4, 4), np.uint8)
    _nifti(tmp_path / "src" / "images" / "a.nii.gz", volume)
    _nifti(tmp_path / "src" / "labels" / "b.nii.gz", volume)
    with pytest.raises(DataError, match="a label without an image"):
        import_data("folders", tmp_path / "src", tmp_path / "out")
    (tmp_path / "src" / "labels" / "b.nii.gz").rename(tmp_path / "src" / "images" / "b.nii.gz")
    _nifti(tmp_path / "src" / "images" / "c.nii", volume)
    with pytest.raises(DataError, match="several endings"):
        import_data("folders", tmp_path / "src", tmp_path / "out")
    _nifti(tmp_path / "src" / "images" / "c.nii.gz", volume)
    with pytest.raises(DataError, match="two files for the case c"):
        import_data("folders", tmp_path / "src", tmp_path / "out")


# Bad input


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (lambda p: _h5(p, label=None, mask=np.zeros(3)), r"'label'; found image, mask; expected .*Remedy"),
        (lambda p: _h5(p, image=None), "named 'image'; found label"),
        (lambda p: _h5(p, label=np.full((5, 4, 3), 0.5)), "not whole numbers; found 0.5"),
        (lambda p: _h5(p, label=np.full((5, 4, 3), np.nan)), "not whole numbers; found nan"),
        (lambda p: _h5(p, label=np.full((5, 4, 3), 2)), r"without a name; found 2; expected .*left_atrium"),
        (lambda p: _h5(p, label=np.full((5, 4, 3), -1)), "without a name; found -1"),
        (lambda p: _h5(p, label=np.zeros((5, 4, 2))), "do not fit"),
        (lambda p: _h5(p, shape=(5, 4)), "do not fit"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "unreadable or truncated"),
        (lambda p: p.write_bytes(b""), "unreadable or truncated"),
    ],
)
def test_a_broken_file_is_named_and_leaves_nothing(
    tmp_path: Path, broken: Callable[[Path], object], fault: str
) -> None:
    _h5(tmp_path / "src" / "A" / "mri_norm2.h5")
    path = tmp_path / "src" / "B" / "mri_norm2.h5"
    _h5(path)
    broken(path)
    with pytest.raises(DataError, match=fault) as caught:
        import_data("uamt-h5", tmp_path / "src", tmp_path / "deep" / "out")
    assert str(path) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["src"]


def test_whole_numbers_stored_as_floats_are_labels(tmp_path: Path) -> None:
    label = RNG.integers(0, 2, (5, 4, 3)).astype(np.float64)
    _h5(tmp_path / "src" / "A" / "mri_norm2.h5", label=label)
    out = import_data("uamt-h5", tmp_path / "src", tmp_path / "out")
    assert read_geometry(out / "labelsTr" / "A.nii.gz").dtype == np.uint8
    np.testing.assert_array_equal(_label(out, "A"), label)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("AB1\nAB3\n", r"'AB3', which has no file.*nearest is 'AB[12]'.*Remedy"),
        ("AB1\nAB2\nAB1/mri_norm2.h5\n", "'AB1' twice"),
        ("\n# nothing\n", "empty"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    for name in ("AB1", "AB2"):
        _h5(tmp_path / "src" / name / "mri_norm2.h5")
    (tmp_path / "list").write_text(text)
    with pytest.raises(DataError, match=fault) as caught:
        import_data("uamt-h5", tmp_path / "src", tmp_path / "out", tmp_path / "list")
    assert str(tmp_path / "list") in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        import_data("uamt-h5", tmp_path / "src", tmp_path / "out", tmp_path / "absent")
    assert not (tmp_path / "out").exists()


def test_an_existing_destination_is_never_touched(tmp_path: Path) -> None:
    data = _h5(tmp_path / "src" / "A" / "mri_norm2.h5")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        import_data("uamt-h5", tmp_path / "src", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]
    with pytest.raises(DataError, match="not empty"):
        import_data("uamt-h5", tmp_path / "src", tmp_path / "out" / "mine")
    (tmp_path / "out" / "mine").unlink()  # an empty folder may be filled
    out = import_data("uamt-h5", tmp_path / "src", tmp_path / "out")
    np.testing.assert_array_equal(_image(out, "A"), data["image"])


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_in_mid_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    for name in ("A", "B"):
        _h5(tmp_path / "src" / name / "mri_norm2.h5")
    written = []

    def fails_second(path: Path, *rest: Any) -> Path:
        if written:
            raise stop
        written.append(path)
        return real(path, *rest)

    real = hdf5.write_mask
    monkeypatch.setattr(hdf5, "write_mask", fails_second)
    expected = DataError if isinstance(stop, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        import_data("uamt-h5", tmp_path / "src", tmp_path / "deep" / "er" / "out")
    assert len(written) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["src"]
    if expected is DataError:
        assert "No space left" in str(caught.value)


@pytest.mark.parametrize("layout", ["uamt-h5", "ssl4mis-h5", "pancreas-h5", "msd", "folders"])
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, layout: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"nothing of this layout.*notes.txt.*expected"):
        import_data(layout, tmp_path / "src", tmp_path / "out")
    with pytest.raises(DataError, match="no such folder"):
        import_data(layout, tmp_path / "absent", tmp_path / "out")


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'uamt'.*uamt-h5 or ssl4mis-h5"):
        import_data("uamt", tmp_path, tmp_path / "out")
