"""Slicer's ``.seg.nrrd``: files that pynrrd wrote as Slicer does, and ours read by pynrrd and SimpleITK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from semivox.cohort import (
    Volume,
    check_cohort,
    find_scans,
    import_folders,
    inside,
    load_cohort,
    read_geometry,
    read_label,
    read_segments,
    write_mask,
)
from semivox.cohort.segments import Code, Segment, segments_of_classes
from semivox.errors import DataError
from semivox.evaluation import evaluate_folders

AXES = np.diag([1.0, 0.5, 2.0])
SHAPE = (12, 11, 10)
Named = dict[str, tuple[int, int]]
"""Segment -> (label value, layer)."""


def boxes(*corners: int, size: int = 4) -> list[np.ndarray]:
    made = []
    for corner in corners:
        mask = np.zeros(SHAPE, bool)
        mask[corner : corner + size, 2:6, 3:7] = True
        made.append(mask)
    return made


def slicer(path: Path, array: np.ndarray, segments: Named, axes: np.ndarray = AXES) -> Path:
    """As Slicer saves it: layers are the first axis, of kind "list"."""
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space origin": np.array([1.0, 2.0, 3.0]),
        "space directions": axes if array.ndim == 3 else np.vstack([np.full((1, 3), np.nan), axes]),
        "kinds": ["domain"] * 3 if array.ndim == 3 else ["list", *["domain"] * 3],
        "encoding": "gzip",
    }
    for i, (name, (value, layer)) in enumerate(segments.items()):
        header |= {
            f"Segment{i}_ID": f"Segment_{i + 1}",
            f"Segment{i}_Name": name,
            f"Segment{i}_Color": "0.5 0.25 1",
            f"Segment{i}_LabelValue": str(value),
            f"Segment{i}_Layer": str(layer),
            f"Segment{i}_Tags": "Segmentation.Status:inprogress|TerminologyEntry:list~SCT^123037004^Anatomy"
            "~SCT^10200004^Liver~^^~Anatomic codes~^^~^^|",
        }
    nrrd.write(str(path), array, header)
    return path


def folder(root: Path, layout: str, labels: dict[str, tuple[np.ndarray, Named]]) -> Path:
    images, masks, tail = ("images", "labels", "") if layout == "plain" else ("imagesTr", "labelsTr", "_0000")
    for sub in (images, masks):
        (root / sub).mkdir(parents=True)
    for case, (array, segments) in labels.items():
        noise = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
        slicer(root / images / f"{case}{tail}.nrrd", noise, {})
        slicer(root / masks / f"{case}.seg.nrrd", array, segments)
    return root


def test_values_of_one_layer_are_read_as_they_are(tmp_path: Path) -> None:
    one, two = boxes(0, 6)
    array = (one * 7 + two * 3).astype(np.uint8)
    path = slicer(tmp_path / "a.seg.nrrd", array, {"Liver": (7, 0), "my tumour": (3, 0)})
    np.testing.assert_array_equal(read_label(path).array[0], array)
    np.testing.assert_allclose(read_label(path).voxel_edges, (1, 0.5, 2))
    code = Code("10200004", "SCT", "Liver")
    assert read_segments(path) == (
        Segment(3, "my tumour", "#8040ff", code),
        Segment(7, "Liver", "#8040ff", code),
    )


def test_layers_without_overlap_become_one_label(tmp_path: Path) -> None:
    one, two = boxes(0, 6)
    path = slicer(tmp_path / "a.seg.nrrd", np.stack([one * 1, two * 2]).astype(np.uint8),
                  {"a": (1, 0), "b": (2, 1)})  # fmt: skip
    np.testing.assert_array_equal(read_label(path).array[0], one * 1 + two * 2)
    assert (read_geometry(path).channels, read_geometry(path).shape) == (1, SHAPE)


@pytest.mark.parametrize(
    ("second", "segments", "said"),
    [
        (2, {"liver": (1, 0), "tumour": (2, 1)}, "32 voxels of 'tumour' and 'liver'"),
        (6, {"liver": (1, 0), "tumour": (1, 1)}, "two segments have one label value"),
        (6, {"liver": (1, 0), "tumour": (2, 5)}, "layer that is not there"),
        (6, {}, "does not tell its segments"),
    ],
)
def test_what_a_voxel_is_must_be_clear(tmp_path: Path, second: int, segments: Named, said: str) -> None:
    one, two = boxes(0, second)
    values = [value for value, _ in segments.values()] or [1, 2]
    path = slicer(tmp_path / "a.seg.nrrd", np.stack([one * values[0], two * values[1]]).astype(np.uint8),
                  segments)  # fmt: skip
    with pytest.raises(DataError, match=r"a\.seg\.nrrd") as raised:
        read_label(path)
    assert said in str(raised.value)
    assert "Slicer" in str(raised.value) or "save the segmentation" in str(raised.value)


@pytest.mark.parametrize("layout", ["plain", "nnunet"])
def test_it_is_the_label_of_its_case_and_names_the_classes(tmp_path: Path, layout: str) -> None:
    one, two = boxes(0, 6)
    array = (one * 7 + two * 3).astype(np.uint8)
    root = folder(tmp_path, layout, dict.fromkeys("ab", (array, {"liver": (7, 0), "tumour": (3, 0)})))
    if layout == "nnunet":
        described = {"labels": {"background": 0, "tumour": 3, "liver": 7}, "file_ending": ".nrrd"}
        (root / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    cohort = load_cohort(root)
    assert [case.label and case.label.name for case in cohort.cases] == ["a.seg.nrrd", "b.seg.nrrd"]
    assert cohort.classes == {3: "tumour", 7: "liver"}
    report = check_cohort(root)
    assert (report.labeled, report.findings) == (2, ())
    if layout == "plain":
        assert cohort.inferred == {"channels"}
        assert cohort.colours == {"liver": "#8040ff", "tumour": "#8040ff"}
        assert load_cohort(import_folders(root, tmp_path / "new")).classes == cohort.classes
    # beside scans it is no scan
    images = tmp_path / ("images" if layout == "plain" else "imagesTr")
    slicer(images / "a.seg.nrrd", array, {})
    assert [scan.name for scan in find_scans([images]).cases] == ["a", "b"]
    with pytest.raises(DataError, match="not a scan"):
        find_scans([images / "a.seg.nrrd"])


def test_a_name_with_another_value_is_refused_wherever_labels_are_read(tmp_path: Path) -> None:
    one, two = boxes(0, 6)
    array = (one * 1 + two * 2).astype(np.uint8)
    drawn = {
        "a": (array, {"liver": (1, 0), "tumour": (2, 0)}),
        "b": (array, {"Tumour ": (1, 0), "liver": (2, 0)}),
    }
    plain = folder(tmp_path / "p", "plain", drawn)
    with pytest.raises(DataError, match="name their segments differently"):
        load_cohort(plain)
    root = folder(tmp_path / "n", "nnunet", drawn)
    described = {"labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nrrd"}
    (root / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    errors = [f for f in check_cohort(root).findings if f.severity == "error"]
    assert [f.case for f in errors] == ["b"]
    assert "'liver' with value 1" in str(errors[0])
    with pytest.raises(DataError, match="value of another"):
        evaluate_folders(root / "labelsTr", root)


def test_ours_is_read_by_others(tmp_path: Path) -> None:
    one, two = boxes(0, 6)
    mask = (one * 1 + two * 4).astype(np.uint8)
    segments = segments_of_classes(
        {1: "Leber \\ groß", 4: "tumour"},
        {"tumour": {"value": "108369006", "meaning": "Neoplasm"}, "1": "10200004"},
        {"tumour": [255, 0, 51]},
    )
    affine = np.diag([-1.0, -0.5, 2.0, 1.0])
    affine[:3, 3] = [-4, -5, 6]
    like = Volume(mask[None], affine)
    path = write_mask(tmp_path / "c.nii.gz", mask, like, "seg.nrrd", "a note", segments)
    assert path.name == "c.seg.nrrd"
    array, header = nrrd.read(str(path))
    np.testing.assert_array_equal(array, mask)
    assert header["Segment1_Name"] == "tumour"
    assert header["Segment1_LabelValue"] == "4"
    assert header["Segment1_Color"] == "1 0 0.2"
    assert header["Segment1_Extent"] == "0 11 0 10 0 9"
    assert "SCT^108369006^Neoplasm" in header["Segment1_Tags"]
    np.testing.assert_allclose(header["space directions"], AXES)
    np.testing.assert_allclose(header["space origin"], [4, 5, 6])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, mask)
    assert read_segments(path) == segments
    np.testing.assert_array_equal(read_label(path).affine, affine)


def overlapping(root: Path) -> dict[str, np.ndarray]:
    """Two plain folders; the label's segments, of 1, 2 and again 1, overlap in three layers."""
    whole, part, apart = boxes(1, 2, 8)
    (root / "images").mkdir(parents=True)
    write_mask(root / "images/a.nii.gz", np.arange(whole.size).reshape(SHAPE), grid(root))
    layers = np.stack([whole * np.uint8(1), part * np.uint8(2), apart * np.uint8(1)])
    slicer(root / "labels/a.seg.nrrd", layers, {"whole": (1, 0), "part": (2, 1), "Apart": (1, 2)})
    return {"whole": whole, "part": part, "apart": apart}


def grid(root: Path) -> Volume:
    """As a file of :func:`slicer` has it."""
    (root / "labels").mkdir(parents=True)
    path = slicer(root / "labels/grid.seg.nrrd", np.zeros(SHAPE, np.uint8), {"x": (1, 0)})
    volume = read_label(path)
    path.unlink()
    return volume


def test_overlapping_segments_are_imported_as_regions(tmp_path: Path) -> None:
    drawn = overlapping(tmp_path / "src")
    cohort = load_cohort(import_folders(tmp_path / "src", tmp_path / "dst"))
    assert check_cohort(cohort).findings == ()
    label = read_label(cohort.cases[0].label, regions=cohort.regions).array[0]
    assert sorted(cohort.structures.values()) == ["Apart", "part", "whole"]
    for number, name in cohort.structures.items():
        np.testing.assert_array_equal(inside(label, number, cohort.regions.parts), drawn[name.lower()])


def test_overlapping_segments_without_regions_name_the_way_out(tmp_path: Path) -> None:
    overlapping(tmp_path)
    whole, part = boxes(1, 2)
    layers = np.stack([whole * np.uint8(1), part * np.uint8(2)])
    slicer(tmp_path / "labels/b.seg.nrrd", layers, {"whole": (1, 0), "part": (2, 1)})
    for name in "ab":  # a: two segments of one value; b: values of their own
        with pytest.raises(DataError, match="semivox import folders"):
            read_label(tmp_path / f"labels/{name}.seg.nrrd")


def test_plain_folders_that_tell_no_class_say_why_and_name_the_way_out(tmp_path: Path) -> None:
    overlapping(tmp_path)
    with pytest.raises(DataError, match=r"a\.seg\.nrrd: two segments have one label value") as raised:
        load_cohort(tmp_path)
    assert "semivox import folders" in str(raised.value.remedy)
