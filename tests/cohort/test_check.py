import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort.check import check_cohort
from semivox.cohort.folder import load_cohort
from semivox.cohort.intensity import Intensity, unusual_intensities
from semivox.cohort.split import split_cohort
from semivox.errors import DataError

SHAPE = (6, 7, 5)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


def label(*values: int) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array.flat[: len(values)] = values
    return array


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Ten cases, four with a label of both classes; patients of two cases."""
    dataset = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    for i in range(10):
        save(tmp_path / f"imagesTr/c{i}_0000.nii.gz", image(i))
        if i < 4:
            save(tmp_path / f"labelsTr/c{i}.nii.gz", label(1, 2))
    (tmp_path / "cases.csv").write_text("case,patient\n" + "".join(f"c{i},p{i // 2}\n" for i in range(10)))
    return tmp_path


def found(root: Path, **options: object) -> list[tuple[str, str, str]]:
    return [(f.severity, f.case, f.fault) for f in check_cohort(root, **options).findings]


def redeclare(root: Path, **changes: object) -> None:
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_sound_folder_has_no_findings_and_a_summary(sound):
    report = check_cohort(sound)
    assert report.findings == ()
    assert report.ok
    assert (report.cases, report.labeled, report.dims) == (10, 4, 3)
    assert dict(report.classes) == {"organ": 4, "lesion": 4}
    summary = report.to_json()["summary"]
    assert summary["shapes"] == {"min": [6, 7, 5], "median": [6, 7, 5], "max": [6, 7, 5]}
    assert summary["spacings_mm"]["max"] == [1, 1, 1]
    report.raise_errors()


def test_progress_is_told(sound):
    calls = []
    check_cohort(sound, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 10) for i in range(1, 11)]


# --- errors --------------------------------------------------------------------------------------------


def truncate(root: Path) -> None:
    path = root / "imagesTr/c7_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:200])


def no_image(root: Path) -> None:
    (root / "imagesTr/c7_0000.nii.gz").write_bytes(b"hello")


def truncated_label(root: Path) -> None:
    path = root / "labelsTr/c1.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])


def other_shape(root: Path) -> None:
    save(root / "labelsTr/c1.nii.gz", label(1, 2)[:-1])


def other_origin(root: Path) -> None:
    affine = np.eye(4)
    affine[:3, 3] = (0, 3, 0)
    save(root / "labelsTr/c1.nii.gz", label(1, 2), affine)


def foreign_value(root: Path) -> None:
    save(root / "labelsTr/c1.nii.gz", label(1, 2, 7))


def fraction(root: Path) -> None:
    save(root / "labelsTr/c1.nii.gz", label(1, 2) + np.float32(0.5))


def nan(root: Path) -> None:
    save(root / "imagesTr/c7_0000.nii.gz", np.where(image() > 130, np.float32(np.nan), image()))


def infinite(root: Path) -> None:
    save(root / "imagesTr/c7_0000.nii.gz", np.where(image() > 130, np.float32(-np.inf), image()))


def flat(root: Path) -> None:
    save(root / "imagesTr/c7_0000.nii.gz", image()[..., 0])


def two_channels(root: Path) -> None:
    save(root / "imagesTr/c7_0000.nii.gz", np.stack([image(), image(1)], axis=-1))


def twice(root: Path) -> None:
    save(root / "imagesUn/c7_0000.nii.gz", image())


def second_file(root: Path) -> None:
    save(root / "imagesTr/c7_0001.nii.gz", image())


def ghost(root: Path) -> None:
    with open(root / "cases.csv", "a") as file:
        file.write("c99,p99\n")


def no_lesion(root: Path) -> None:
    for i in range(4):
        save(root / f"labelsTr/c{i}.nii.gz", label(1))
    redeclare(root, may_be_empty=["lesion"])


def no_labels(root: Path) -> None:
    for i in range(4):
        (root / f"labelsTr/c{i}.nii.gz").unlink()


@pytest.mark.parametrize(
    ("spoil", "case", "fault"),
    [
        (truncate, "c7", "unreadable or truncated file"),
        (no_image, "c7", "unreadable or truncated file"),
        (truncated_label, "c1", "unreadable or truncated file"),
        (other_shape, "c1", "image and label lie on different grids"),
        (other_origin, "c1", "image and label lie on different grids"),
        (foreign_value, "c1", "label value outside the declared labels"),
        (fraction, "c1", "a label's values are whole numbers"),
        (nan, "c7", "the image holds NaN or infinity"),
        (infinite, "c7", "the image holds NaN or infinity"),
        (flat, "c7", "2D and 3D images are mixed"),
        (two_channels, "c7", "wrong number of channels"),
        (twice, "c7", "duplicate name: two files are case 'c7'"),
        (second_file, "c7", "case 'c7' has other channel files than declared"),
        (ghost, "", "1 listed case(s) have no image"),
        (no_lesion, "", "no labelled case has class 'lesion'"),
        (no_labels, "", "no labelled case"),
    ],
)
def test_each_error(sound, spoil, case, fault):
    spoil(sound)
    report = check_cohort(sound)
    assert [(f.severity, f.case, f.fault) for f in report.findings] == [("error", case, fault)]
    assert not report.ok
    (finding,) = report.findings
    assert finding.path
    assert finding.remedy
    assert finding.found
    with pytest.raises(DataError) as caught:
        report.raise_errors()
    assert caught.value.fault == fault


def test_all_faults_are_collected(sound):
    for spoil in (truncate, foreign_value, ghost):
        spoil(sound)
    save(sound / "imagesUn/c8_0000.nii.gz", image())
    save(sound / "labelsTr/c2.nii.gz", label())
    faults = found(sound)
    assert [s for s, _, _ in faults] == ["error"] * 4 + ["warning"]
    assert {case for _, case, _ in faults} == {"", "c1", "c2", "c7", "c8"}
    with pytest.raises(DataError, match="3 more errors"):
        check_cohort(sound).raise_errors()


def test_a_case_left_out_is_not_read(sound):
    for spoil in (truncate, second_file):
        spoil(sound)
    (sound / "cases.csv").write_text("case,use\n" + "".join(f"c{i},{'no' * (i == 7)}\n" for i in range(10)))
    assert found(sound) == []


# --- warnings ------------------------------------------------------------------------------------------


def test_an_empty_label_unless_declared(sound):
    save(sound / "labelsTr/c1.nii.gz", label())
    save(sound / "labelsTr/c2.nii.gz", label(1))
    assert found(sound) == [
        ("warning", "c1", "the label is empty"),
        ("warning", "c2", "the label lacks a class"),
    ]
    redeclare(sound, may_be_empty=["lesion", 1])
    assert found(sound) == []


def test_floats_that_are_integers(sound):
    save(sound / "labelsTr/c1.nii.gz", label(1, 2).astype(np.float32))
    assert found(sound) == [("warning", "c1", "the label stores whole numbers as floats (accepted)")]


def test_a_label_without_an_image_and_an_unlisted_case(sound):
    save(sound / "labelsTr/x.nii.gz", label(1, 2))
    save(sound / "imagesTr/new_0000.nii.gz", image())
    severities_and_cases = [(s, case) for s, case, _ in found(sound)]
    assert severities_and_cases == [("warning", "new"), ("warning", "")]


def test_unusual_intensities(sound):
    save(sound / "imagesTr/c5_0000.nii.gz", image() * 1000)
    save(sound / "imagesTr/c6_0000.nii.gz", np.full(SHAPE, 3, np.float32))
    assert found(sound) == [
        ("warning", "c6", "unusual intensities: the image is constant"),
        ("warning", "c5", "unusual intensities"),
    ]


def test_unusual_intensities_in_plain_numbers():
    """No exponents, and no deviation below 0."""
    spreads = (1.0, 2.0, 5.0, 9.0, 14.0, 20.0, 30.0, 40.0, 56789.0)
    cases = {f"c{i}": Intensity((100.0,), (spread,)) for i, spread in enumerate(spreads)}
    ((case, fault),) = unusual_intensities(cases, dict.fromkeys(cases, Path("c.nii.gz")), ["T1"])
    assert case == "c8"
    assert fault.found == "channel T1: std 56,789"
    assert fault.expected == "std 0 to 180 as in other cases"


def test_partial_annotation(sound):
    lines = [f"c{i},{'organ' * (i in (1, 2))}\n" for i in range(10)]
    (sound / "cases.csv").write_text("case,annotated\n" + "".join(lines))
    save(sound / "labelsTr/c1.nii.gz", label(1))
    report = check_cohort(sound)
    assert [(f.case, f.fault[:45]) for f in report.findings] == [
        ("c2", "the label holds a class that cases.csv does n")
    ]
    assert dict(report.classes) == {"organ": 4, "lesion": 2}


def test_the_ignore_value_is_no_foreign_value(sound):
    save(sound / "labelsTr/c1.nii.gz", label(1, 2, 3))
    redeclare(sound, labels={"background": 0, "organ": 1, "lesion": 2, "ignore": 3})
    assert found(sound) == []


def test_a_patient_cut_by_the_split(sound):
    cohort = load_cohort(sound)
    assert found(sound, split=split_cohort(cohort, "2p")) == []
    assert found(sound, split=split_cohort(cohort, "2")) == []
    (warning,) = check_cohort(sound, split_cohort(cohort, "3")).findings
    assert (warning.severity, warning.fault[:18]) == ("warning", "patient 'p1' is cu")
    assert warning.found == "labelled c2; unlabelled c3"
    (sound / "labelsTr/c3.nii.gz").unlink()  # then it is not the split that cuts
    assert found(sound, split=split_cohort(load_cohort(sound), "3")) == []


def test_with_a_split_no_other_label_is_opened(sound):
    cohort = load_cohort(sound)
    split = split_cohort(cohort, "2")
    before = check_cohort(cohort, split)
    for i in (2, 3):
        (sound / f"labelsTr/c{i}.nii.gz").write_bytes(b"garbage")
    assert check_cohort(cohort, split) == before
    assert before.labeled == 2
    assert before.ok
    assert not check_cohort(cohort).ok


def test_the_rounding_of_a_header_is_no_other_grid(sound):
    affine = np.eye(4) + np.pad(np.full((3, 1), 1e-4), ((0, 1), (3, 0)))
    save(sound / "labelsTr/c1.nii.gz", label(1, 2), affine)
    assert found(sound) == []


def test_json_is_plain(sound):
    foreign_value(sound)
    content = json.loads(json.dumps(check_cohort(sound).to_json()))
    assert content["format"] == 1
    assert content["ok"] is False
    assert content["findings"][0]["severity"] == "error"
    assert content["findings"][0]["found"] == "7 (1 voxels)"
    assert content["summary"]["labelled"] == 4


@pytest.mark.parametrize("name", ["la", "hippocampus", "acdc", "nuclei"])
def test_real_folders_have_no_errors(shared_data, name):
    report = check_cohort(shared_data / name / "dev")
    assert report.ok, report.errors
    assert report.dims == (2 if name == "nuclei" else 3)
    assert min(report.classes.values()) == report.cases
    # two of hippocampus/dev are stored with intensities 400 times those of the others
    assert len(report.warnings) == (2 if name == "hippocampus" else 0)


def test_the_remedy_for_an_absent_class_leaves_a_folder_that_is_read(sound):
    """Taken out of every place that is named, and of no other, it leaves a folder without faults."""
    no_lesion(sound)
    everywhere = {
        "may_be_empty": [2],
        "codes": {"lesion": "1"},
        "colours": {"2": "#ffffff", "organ": "#000000"},
    }
    redeclare(sound, **everywhere)
    (sound / "cases.csv").write_text("case,annotated\nc1,organ\nc2,organ lesion\n")
    (finding,) = [f for f in check_cohort(sound).findings if f.severity == "error"]
    places = "'labels', 'may_be_empty', 'codes', 'colours' in dataset.json, and 'annotated' in cases.csv"
    assert finding.remedy == f"label a case that has it, or remove it from {places}"
    labels = {"background": 0, "organ": 1}
    redeclare(sound, labels=labels, may_be_empty=[], codes={}, colours={"organ": "#000000"})
    (sound / "cases.csv").write_text("case,annotated\nc1,organ\nc2,organ\n")
    assert check_cohort(sound).ok
    redeclare(sound, may_be_empty=["lesion"])
    with pytest.raises(DataError, match=r"'may_be_empty' names no .*Remedy: take it out of 'may_be_empty'"):
        check_cohort(sound)


def test_an_absent_region_and_an_only_class(sound):
    redeclare(sound, labels={"background": 0, "all": [1, 2], "part": 3}, regions_class_order=[1, 3])
    (finding,) = [f for f in check_cohort(sound).findings if f.severity == "error"]
    assert finding.remedy.endswith("or remove it from 'labels', 'regions_class_order' in dataset.json")
    for i in range(4):
        save(sound / f"labelsTr/c{i}.nii.gz", label())
    (sound / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "T1"}, "labels": {"organ": 1}, "file_ending": ".nii.gz"})
    )
    (finding,) = [f for f in check_cohort(sound).findings if f.severity == "error"]
    assert finding.remedy == "label a case that has it"  # a folder has a class at least
