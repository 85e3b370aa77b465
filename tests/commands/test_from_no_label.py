"""A folder without any label goes the whole way: who follows what is printed comes to labels that count.

And where labels are there that no rule uses, or that say nothing, that is told and its remedy holds.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

import semivox
from semivox.cli import main
from semivox.cohort import Volume, load_cohort, read_case, write_mask, write_volume
from semivox.cohort.dataset_json import read_dataset_json
from semivox.cohort.folder import scan_images
from semivox.commands.import_data import import_data
from semivox.errors import DataError

from ..dicom.made_series import write_series

RNG = np.random.default_rng(5)
CASES = [f"scan{i}" for i in range(4)]


def scans(folder: Path, ending: str, number: str = "", colours: bool = False) -> None:
    folder.mkdir(parents=True)
    for case in CASES:
        if ending == ".mhd":  # of which semivox writes none
            SimpleITK.WriteImage(
                SimpleITK.GetImageFromArray(RNG.normal(100, 9, (7, 8, 9))), folder / f"{case}{number}.mhd"
            )
        elif ending in (".png", ".jpg"):
            shape = (16, 12, 3) if colours else (16, 12)
            picture = RNG.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{case}{number}{ending}")
        else:
            array = RNG.normal(100, 9, (1, 9, 8, 7)).astype(np.float32)
            write_volume(folder / f"{case}{number}{ending}", array, Volume(array, np.eye(4)))


def plain(root: Path, ending: str, colours: bool = False) -> Path:
    scans(root / "images", ending, colours=colours)
    return root


def described(root: Path, ending: str, colours: bool = False, place: str = "imagesTr") -> Path:
    scans(root / place, ending, "_0000" if place == "imagesTr" else "", colours)
    channels = {str(i): name for i, name in enumerate("RGB" if colours else ["MR"])}
    content = {"channel_names": channels, "labels": {"background": 0, "x": 1}, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def imported(root: Path, ending: str, colours: bool = False) -> Path:
    return import_data("folders", plain(root / "src", ending, colours), root / "dst")


def imported_with_empty_labels(root: Path) -> Path:
    source = plain(root / "src", ".png")
    label(source / "labels/scan0.png", source, 0)
    made = import_data("folders", source, root / "dst")
    (made / "labelsTr/scan0.png").unlink()
    return made


def series(root: Path) -> None:
    for i, case in enumerate(CASES):
        write_series(root / case, RNG.normal(0, 50, (9, 8, 7)).astype(np.int16), number=i)


def imported_series(root: Path) -> Path:
    series(root / "src")
    return import_data("dicom", root / "src", root / "dst")


def series_in(root: Path, place: str) -> Path:
    series(root / place)
    if place == "imagesTr":
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1}, "file_ending": ".dcm"}
        (root / "dataset.json").write_text(json.dumps(content))
    return root


def with_empty_folder(root: Path) -> Path:
    (root / "labels").mkdir(parents=True)
    return plain(root, ".png")


def label(path: Path, root: Path, value: int = 1) -> None:
    """A label of the case that ``path`` is named after, on its scan's grid."""
    scan = scan_of(path, root)
    mask = np.zeros(scan.shape, np.uint8)
    mask[2:6, 2:5] = value
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".mhd":
        like = SimpleITK.ReadImage(next(root.glob(f"images*/{path.stem}*.mhd")))
        drawn = SimpleITK.GetImageFromArray(np.ascontiguousarray(mask.T))
        drawn.CopyInformation(like)
        SimpleITK.WriteImage(drawn, path)
        return
    assert write_mask(path, mask, scan) == path  # in a format that a mask can have


def scan_of(path: Path, root: Path) -> Volume:
    (case,) = [case for case in scan_images(root)[0] if case.name in path.name]
    return read_case(case)


UNLABELED: dict[str, Callable[[Path], Path]] = {
    "plain png in colours": lambda root: plain(root, ".png", colours=True),
    "plain png": lambda root: plain(root, ".png"),
    "plain jpg": lambda root: plain(root, ".jpg", colours=True),
    "plain nifti": lambda root: plain(root, ".nii.gz"),
    "plain nrrd": lambda root: plain(root, ".nrrd"),
    "plain metaimage in two files": lambda root: plain(root, ".mhd"),
    "plain series": lambda root: series_in(root, "images"),
    "plain, labels/ without a file": with_empty_folder,
    "plain with dataset.json": lambda root: described(root, ".jpg", colours=True, place="images"),
    "nnU-Net's nifti": lambda root: described(root, ".nii.gz"),
    "nnU-Net's png": lambda root: described(root, ".png", colours=True),
    "nnU-Net's jpg": lambda root: described(root, ".jpg", colours=True),
    "nnU-Net's metaimage in two files": lambda root: described(root, ".mhd"),
    "nnU-Net's series": lambda root: series_in(root, "imagesTr"),
    "import folders, png": lambda root: imported(root, ".png"),
    "import folders, jpg": lambda root: imported(root, ".jpg", colours=True),
    "import folders, nifti": lambda root: imported(root, ".nii.gz"),
    "import folders, labels that are all 0": imported_with_empty_labels,
    "import dicom": imported_series,
}


@pytest.mark.parametrize("made", UNLABELED.values(), ids=UNLABELED)
def test_a_folder_without_a_label_goes_the_whole_way(
    made: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, rounds = made(tmp_path / "data"), tmp_path / "rounds"
    (step,) = semivox.loop(data, rounds, top=2).steps
    assert step.kind == "choose"
    assert main([*shlex.split(step.commands[0])[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == {}
    (step,) = semivox.loop(data, rounds, top=2).steps
    assert (step.kind, len(step.scans)) == ("draw", 2)

    (error,) = semivox.check(data).errors
    assert (error.fault, error.path) == ("no labelled case", str(data))
    place = re.fullmatch(r"add label files \((.*)\)", error.remedy)
    assert place is not None
    with pytest.raises(DataError, match=f"no labelled case.*{re.escape(place[1])}"):
        semivox.train(data, tmp_path / "run", steps=1)

    for case in step.scans:  # as the remedy says, to the letter
        label(data / place[1].replace("CASE", case), data)
    report = semivox.check(data)
    assert report.errors == ()
    assert report.labeled == 2
    assert semivox.loop(data, rounds, top=2).steps[0].kind == "train"


def test_plain_folders_whose_labels_are_all_held_out_are_references(tmp_path: Path) -> None:
    data = plain(tmp_path / "data", ".png")
    for case in CASES:
        label(data / f"labels/{case}.png", data, 7)
    (data / "cases.csv").write_text("case,role\n" + "".join(f"{case},test\n" for case in CASES))
    evaluation = semivox.evaluate(data / "labels", data)
    assert evaluation["classes"] == {"7": "class_7"}
    assert evaluation["mean"]["7"]["dice"] == 1


@pytest.mark.parametrize("layout", ["folders", "dicom"])
def test_what_an_importer_writes_without_labels_is_read_again(layout: str, tmp_path: Path) -> None:
    made = imported(tmp_path, ".png") if layout == "folders" else imported_series(tmp_path)
    assert dict(read_dataset_json(made / "dataset.json").classes) == {1: "structure"}


def test_a_run_ranks_scans_without_a_label(
    flat_phantoms: tuple[Path, Path], small: dict[str, object], tmp_path: Path
) -> None:
    settings = {**small, "plan.patch": [32, 32], "plan.rung": 1}
    semivox.train(flat_phantoms[0], tmp_path / "run", method="supervised", steps=2, settings=settings)
    shutil.copytree(flat_phantoms[0] / "imagesTr", tmp_path / "data/images")
    ranking = semivox.rank(tmp_path / "run", tmp_path / "data", top=2, out=tmp_path / "ranking")
    assert (len(ranking.chosen), ranking.failed) == (2, {})


def test_masks_beside_labels_that_are_read_are_a_warning_alone(tmp_path: Path) -> None:
    data = plain(tmp_path / "data", ".png")
    label(data / "labels/scan0.png", data)
    (data / "masks").mkdir()
    shutil.copy(data / "labels/scan0.png", data / "masks/scan1.png")
    report = semivox.check(data)
    assert report.errors == ()
    assert ["masks" in finding.path for finding in report.warnings] == [True]
    assert "move" in report.warnings[0].remedy


MISPLACED = {
    "ISIC's names": "labels/{}_segmentation.png",
    "another suffix": "labels/{}_mask.png",
    "a prefix": "labels/seg_{}.png",
    "masks/": "masks/{}.png",
    "Segmentations/": "Segmentations/{}.png",
    "the other layout's folder": "labelsTr/{}.png",
}
BESIDE: dict[str, Callable[[Path], Path]] = {
    "plain png": lambda root: plain(root, ".png"),
    "plain jpg": lambda root: plain(root, ".jpg", colours=True),
    "plain with dataset.json": lambda root: described(root, ".jpg", place="images"),
    "nnU-Net's png": lambda root: described(root, ".png"),
    "nnU-Net's jpg": lambda root: described(root, ".jpg", colours=True),
}


def obeyed(root: Path, remedy: str) -> bool:
    """Rename what a remedy says; whether it says a thing to rename."""
    if found := re.match(r"rename (\S+) to (\S+)", remedy):
        old, new = (word.rstrip("/") for word in found.groups())
        (file,) = root.rglob(old)
        file.rename(file.with_name(new))
    return found is not None


@pytest.mark.parametrize("made", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("name", MISPLACED.values(), ids=MISPLACED)
def test_labels_that_no_rule_reads_are_named_with_what_mends_it(
    name: str, made: Callable[[Path], Path], tmp_path: Path
) -> None:
    data = made(tmp_path / "data")
    if (data / "imagesTr").exists():
        name = re.sub(r"^labels(Tr)?/", lambda found: "labels/" if found[1] else "labelsTr/", name)
    for case in CASES[:3]:
        label(data / name.format(case), data)
    (error,) = semivox.check(data).errors
    assert "no labelled case" in error.fault
    with pytest.raises(DataError, match=r"no labelled case.*Remedy: rename") as refused:
        semivox.train(data, tmp_path / "run", steps=1)
    assert error.remedy in str(refused.value)
    first = error.remedy.partition(" (")[0]
    assert first in semivox.loop(data, tmp_path / "rounds").steps[0].why
    assert first in " ".join(semivox.rank(data, top=1, out=tmp_path / "first").notes)

    for finding in semivox.check(data).warnings:
        obeyed(data, finding.remedy)
    report = semivox.check(data)
    assert (report.findings, report.labeled) == ((), 3)


@pytest.mark.parametrize("name", ["predictions", "imagesTs", "labelsTs", "notes"])
def test_other_folders_are_no_misplaced_labels(name: str, tmp_path: Path) -> None:
    data = described(tmp_path / "data", ".png")
    label(data / "labelsTr/scan0.png", data)
    shutil.copytree(data / "labelsTr", data / name)
    assert semivox.check(data).findings == ()


def test_masks_that_predict_wrote_are_no_misplaced_labels(tmp_path: Path) -> None:
    data = plain(tmp_path / "data", ".png")
    label(data / "labels/scan0.png", data)
    shutil.copytree(data / "labels", data / "masks")
    (data / "masks/dataset.json").write_text("{}")
    assert semivox.check(data).findings == ()


# --- remedies that give a dataset.json ------------------------------------------------------------------


def all_zero(data: Path) -> None:
    ending = ".png" if list((data / "images").glob("*.[pj]*")) else ".nii.gz"
    for case in CASES[:2]:
        label(data / f"labels/{case}{ending}", data, 0)


def grey(data: Path) -> None:
    all_zero(data)
    for path in (data / "labels").iterdir():
        scan = scan_of(path, data)
        values = (np.arange(np.prod(scan.shape)) % 200).reshape(scan.shape).astype(np.uint8)
        write_mask(path, values, scan)


def without_a_description(data: Path) -> None:
    (data / "images").rename(data / "imagesTr")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (all_zero, "nothing but background"),
        (grey, r"do not tell the classes; found \d+ values"),
        (without_a_description, "not a data folder"),
    ],
)
@pytest.mark.parametrize(
    ("ending", "colours", "channels"),
    [(".png", True, 3), (".png", False, 1), (".jpg", True, 3), (".nii.gz", False, 1)],
)
def test_the_dataset_json_of_a_remedy_fits_the_folder(
    spoil: Callable[[Path], None], fault: str, ending: str, colours: bool, channels: int, tmp_path: Path
) -> None:
    data = plain(tmp_path / "data", ending, colours)
    spoil(data)
    with pytest.raises(DataError, match=fault) as refused:
        semivox.check(data)
    example = re.search(r"dataset\.json such as (\{.*\})", str(refused.value.remedy))
    assert example is not None
    (data / "dataset.json").write_text(example[1])
    report = semivox.check(data)
    assert not [f for f in report.errors if "channels" in f.fault or "ending" in f.fault]
    assert len(report.channels) == channels
    assert load_cohort(data).file_ending == ending
    assert report.cases == len(CASES)


def test_a_dataset_json_without_a_class_tells_how_to_name_one(tmp_path: Path) -> None:
    data = described(tmp_path / "data", ".png")
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "labels": {"background": 0}}))
    with pytest.raises(DataError, match="no class beside background") as refused:
        semivox.check(data)
    example = re.search(r"\"labels\": (\{.*\})", str(refused.value.remedy))
    assert example is not None
    (data / "dataset.json").write_text(json.dumps({**content, "labels": json.loads(example[1])}))
    assert [f.fault for f in semivox.check(data).errors] == ["no labelled case"]
