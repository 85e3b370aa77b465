"""Names and endings that importers meet: lists name any case, labels are those that the data folder reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from semivox.cohort import check_cohort, load_cohort, read_label, split_cohort
from semivox.cohort.importers.lists import choose
from semivox.commands.import_data import import_data
from semivox.errors import DataError

NAMES = ["#1", "#2", "a", "a #1", "Müller Jörg #1", "100%", "b.jpg", "b.nii", "c.v2"]


def picture(path: Path, shape: tuple[int, ...] = (9, 8, 3), top: int = 255) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, top + 1, shape, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def folders(src: Path, name: str) -> None:
    picture(src / f"images/{name}.png")
    picture(src / f"labels/{name}.png", (9, 8), 1)


def masks(src: Path, name: str) -> None:
    picture(src / f"images/{name}.png")
    picture(src / f"labels/{name}/spot.png", (9, 8), 1)


def uamt(src: Path, name: str) -> None:
    path = src / name / "mri_norm2.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["image"], file["label"] = np.ones((3, 3, 3), np.float32), np.ones((3, 3, 3), np.uint8)


def pancreas(src: Path, name: str) -> None:
    uamt(src / "made", name)
    (src / "made" / name / "mri_norm2.h5").rename(src / f"{name}.h5")


@pytest.mark.parametrize(
    ("layout", "make", "full"),
    [
        ("folders", folders, "{}.png"),
        ("masks", masks, "{}.png"),
        ("uamt-h5", uamt, "{}/mri_norm2.h5"),
        ("pancreas-h5", pancreas, "{}.h5"),
    ],
)
@pytest.mark.parametrize("as_a_file", [False, True])
def test_a_list_names_any_case_as_a_labelled_list_does(
    layout: str, make: Callable[[Path, str], None], full: str, as_a_file: bool, tmp_path: Path
) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    for name in NAMES:
        make(src, name)
    written = [full.format(name) if as_a_file else name for name in reversed(NAMES)]
    lines = ["# a comment", *written[:-1], "", f"{written[-1]} # the last of them"]
    (tmp_path / "list").write_text("\n".join(lines) + "\n")
    import_data(layout, src, out, tmp_path / "list")
    cohort = load_cohort(out)
    assert [case.name for case in cohort.cases] == NAMES[::-1]
    if not as_a_file:  # the same file, read by the other reader
        assert len(split_cohort(cohort, str(tmp_path / "list")).labeled) == len(NAMES)


def test_a_name_counts_before_the_file_that_it_may_be(tmp_path: Path) -> None:
    """IM1.jpg is a case of its own, and not the file of IM1."""
    (tmp_path / "list").write_text("IM1.jpg\n")
    known, stem = ["IM1", "IM1.jpg"], lambda entry: entry.removesuffix(".jpg")
    assert choose(known, tmp_path / "list", tmp_path, stem) == ["IM1.jpg"]
    assert choose(known[:1], tmp_path / "list", tmp_path, stem) == ["IM1"]


# --- endings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "label", "read"),
    [
        (".png", ".png", True),
        (".jpg", ".png", True),
        (".jpeg", ".tif", True),
        (".jpg", ".nii.gz", True),
        (".tif", ".png", False),
        (".png", ".nii.gz", False),
    ],
)
def test_labels_are_those_that_the_data_folder_would_read(
    image: str, label: str, read: bool, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 2, (9, 8), np.uint8)
    for i in range(2):
        picture(tmp_path / f"src/images/c{i}{image}")
    place = tmp_path / f"src/labels/c0{label}"
    place.parent.mkdir()
    if label == ".nii.gz":
        nib.save(nib.Nifti1Image(values.T, np.eye(4)), place)
    else:
        Image.fromarray(values).save(place)
    if not read:
        with pytest.raises(DataError, match="the label has another ending") as caught:
            import_data("folders", tmp_path / "src", tmp_path / "out")
        assert place.name in str(caught.value)
        assert f"expected {image}" in str(caught.value)
        return
    cohort = load_cohort(import_data("folders", tmp_path / "src", tmp_path / "out"))
    assert cohort.file_ending == image
    (labelled,) = [case.label for case in cohort.cases if case.label is not None]
    np.testing.assert_array_equal(read_label(labelled).array[0], values.T)
    assert not check_cohort(tmp_path / "out").errors


def test_a_label_whose_voxels_lie_in_a_second_file_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "src/images/c0.jpg")
    (tmp_path / "src/labels").mkdir()
    nib.save(nib.Nifti1Pair(np.ones((8, 9), np.uint8), np.eye(4)), tmp_path / "src/labels/c0.hdr")
    with pytest.raises(DataError, match="headers with detached voxels"):
        import_data("folders", tmp_path / "src", tmp_path / "out")


# --- structures that no case shows ------------------------------------------------------------------------


def test_a_structure_that_no_mask_shows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from semivox.cli import main

    for name in "ab":
        masks(tmp_path / "src", name)
        for absent in ("edema", "tumour"):
            place = tmp_path / f"src/labels/{name}/{absent}.png"
            Image.fromarray(np.zeros((9, 8), np.uint8)).save(place)
    assert main(["import", "masks", str(tmp_path / "src"), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "note: no mask shows anything of edema, tumour: they are no classes here" in said
    dataset = json.loads((tmp_path / "out/dataset.json").read_text())
    assert list(dataset["labels"]) == ["background", "spot"]
    assert "edema, tumour" in dataset["note"]


def test_where_all_structures_are_shown_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from semivox.cli import main

    masks(tmp_path / "src", "a")
    assert main(["import", "masks", str(tmp_path / "src"), str(tmp_path / "out")]) == 0
    assert "note:" not in capsys.readouterr().out
    assert "note" not in json.loads((tmp_path / "out/dataset.json").read_text())
