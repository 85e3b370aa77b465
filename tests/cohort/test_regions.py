"""Regions: nnU-Net's definition, voxel by voxel, and what dataset.json and cases.csv may say of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.cohort import Region, Regions, check_cohort, inside, load_cohort, read_dataset_json
from semivox.cohort.subset_folder import write_subset_folder
from semivox.errors import DataError

HEART = {"background": 0, "heart": [1, 2, 3], "left": [2, 3], "cavity": 3}
NESTED = Regions((Region("heart", (1, 2, 3), 1), Region("left", (2, 3), 2), Region("cavity", (3,), 3)))


def as_nnunet_writes(present: Sequence[bool], regions: Regions) -> int:
    """nnU-Net's convert_probabilities_to_segmentation, of one voxel."""
    value = 0
    for region, here in zip(regions.each, present, strict=True):
        if here:
            value = region.written
    return value


@st.composite
def drawn(draw: st.DrawFn) -> Regions:
    """Regions of up to six label values: nested, overlapping, apart, equal."""
    values = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
    made_of = draw(st.lists(st.sets(st.sampled_from(values), min_size=1), min_size=1, max_size=5))
    each = [(tuple(sorted(own)), draw(st.sampled_from(sorted(own)))) for own in made_of]
    return Regions(tuple(Region(f"r{i}", own, written) for i, (own, written) in enumerate(each)))


@st.composite
def nested(draw: st.DrawFn) -> Regions:
    """Regions as nnU-Net means them: any two lie in one another or apart, larger ones come first, and each
    has a value that lies in no later one."""
    regions: list[Region] = []
    fresh = iter(range(1, 100))

    def grow(depth: int) -> tuple[int, ...]:
        place, own = len(regions), next(fresh)
        regions.append(Region(f"r{place}", (), own))
        values = (own, *(v for _ in range(draw(st.integers(0, 2)) if depth else 0) for v in grow(depth - 1)))
        regions[place] = Region(f"r{place}", values, own)
        return values

    for _ in range(draw(st.integers(1, 2))):
        grow(2)
    return Regions(tuple(regions))


@given(drawn(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_mask_reads_back_as_the_regions_that_it_was_made_of(regions: Regions, seed: int) -> None:
    labels = np.random.default_rng(seed).choice([0, *regions.atoms], (7, 6))
    present = [inside(labels, number, regions.parts) for number in regions.names]
    again = regions.label_map(present)
    for number, here in zip(regions.names, present, strict=True):
        np.testing.assert_array_equal(inside(again, number, regions.parts), here)


@given(nested(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_nested_regions_are_written_as_nnunet_writes_them(regions: Regions, seed: int) -> None:
    """Whatever a network says, also a part without its whole."""
    labels = np.random.default_rng(seed).choice([0, *regions.atoms], 40)
    present = np.stack([inside(labels, number, regions.parts) for number in regions.names])
    expected = [as_nnunet_writes(voxel, regions) for voxel in present.T]
    np.testing.assert_array_equal(regions.label_map(list(present)), expected)
    np.testing.assert_array_equal(regions.label_map(list(present)), labels)


@given(drawn(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_mask_differs_from_nnunets_only_where_that_shows_other_regions(regions: Regions, seed: int) -> None:
    present = np.random.default_rng(seed).random((len(regions.each), 30)) < 0.5
    written = regions.label_map(list(present))
    for voxel, value in zip(present.T, written, strict=True):
        expected, lying = as_nnunet_writes(voxel, regions), frozenset(np.flatnonzero(voxel))
        assert value == regions.value_of(lying)
        if value != expected:
            assert regions.around(int(value)) == lying != regions.around(expected)


@given(drawn(), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_what_leaves_a_region_leaves_its_parts_and_no_more(regions: Regions, which: int) -> None:
    number = 1 + which % len(regions.each)
    gone = {i for i, r in enumerate(regions.each) if set(r.values) <= set(regions.parts[number])}
    left = regions.without(number)
    assert set(left) == set(regions.parts[number])
    for value, new in left.items():
        assert not regions.around(new) & gone
        if new:
            assert regions.around(new) <= regions.around(value) - gone or new == regions.value_of(
                regions.around(value) - gone
            )


def folder(root: Path, labels: dict[str, Any], order: Any = None, table: str = "", **more: Any) -> Path:
    """A cohort of two labelled cases, each with a voxel of 1, 2 and 3."""
    (root / "labelsTr").mkdir(parents=True)
    (root / "imagesTr").mkdir()
    mask = np.zeros((6, 6, 4), np.uint8)
    mask[:3, 0, 0] = 1, 2, 3
    for case in ("a", "b"):
        noise = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, np.eye(4)), root / f"imagesTr/{case}_0000.nii.gz")
        nib.save(nib.Nifti1Image(mask, np.eye(4)), root / f"labelsTr/{case}.nii.gz")
    described = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz", **more}
    if order is not None:
        described["regions_class_order"] = order
    (root / "dataset.json").write_text(json.dumps(described))
    if table:
        (root / "cases.csv").write_text(table)
    return root


def test_dataset_json_declares_them_as_for_nnunet(tmp_path: Path) -> None:
    root = folder(tmp_path, {**HEART, "ignore": 4}, [1, 2, 3], may_be_empty=["left", 3])
    declared = read_dataset_json(root / "dataset.json")
    assert declared.regions == NESTED
    assert (declared.ignore, declared.may_be_empty) == (4, (2, 3))
    assert list(declared.classes) == [1, 2, 3]
    assert declared.structures == {1: "heart", 2: "left", 3: "cavity"}
    report = check_cohort(root)
    assert report.classes == {"heart": 2, "left": 2, "cavity": 2}
    assert report.findings == ()


def test_lists_of_one_value_are_plain_classes(tmp_path: Path) -> None:
    declared = read_dataset_json(folder(tmp_path, {"background": 0, "a": [1], "b": 2}) / "dataset.json")
    assert (declared.classes, bool(declared.regions)) == ({1: "a", 2: "b"}, False)


WRONG = {
    "no order": (HEART, None),
    "an order of another length": (HEART, [1, 2]),
    "an order that is no list": (HEART, "1, 2, 3"),
    "an order of no numbers": (HEART, [1, 2, "x"]),
    "an order of lists": (HEART, [[1], 2, 3]),
    "written as a value outside": (HEART, [1, 1, 3]),
    "background in a region": ({"background": 0, "a": [0, 1], "b": 2}, [1, 2]),
    "a negative value": ({"background": 0, "a": [-1, 1], "b": 2}, [1, 2]),
    "an empty region": ({"background": 0, "a": [1, 2], "b": []}, [1, 2]),
    "a nested list": ({"background": 0, "a": [1, [2]], "b": 2}, [1, 2]),
    "no number in a list": ({"background": 0, "a": [1, "x"], "b": 2}, [1, 2]),
    "true in a list": ({"background": 0, "a": [1, True], "b": 2}, [1, 2]),
    "an object": ({"background": 0, "a": {"1": 2}, "b": 2}, [1, 2]),
    "ignore of two values": ({"background": 0, "a": [1, 2], "ignore": [3, 4]}, [1]),
    "ignore in a region": ({"background": 0, "a": [1, 2], "ignore": 2}, [1]),
    "nothing but background": ({"background": [0], "ignore": [1, 2]}, []),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_contradicts_itself_is_refused_by_name(why: str, tmp_path: Path) -> None:
    labels, order = WRONG[why]
    root = folder(tmp_path, labels, order)
    with pytest.raises(DataError) as raised:
        load_cohort(root)
    assert raised.value.path == root / "dataset.json"


def test_a_region_that_no_label_shows_is_an_error_and_a_value_is_not(tmp_path: Path) -> None:
    lacking = {"background": 0, "heart": [1, 2, 3, 5], "left": [2, 3], "other": [5]}
    (error,) = check_cohort(folder(tmp_path / "a", lacking, [1, 2, 5])).findings[:1]
    assert "'other'" in error.fault
    (warning, *_) = check_cohort(folder(tmp_path / "b", lacking, [1, 2, 5], may_be_empty=["other"])).findings
    assert "'other'" in warning.fault  # it may be empty in a scan; somebody must show it all the same
    kept = {"background": 0, "heart": [1, 2, 3, 5], "left": [2, 3]}
    assert check_cohort(folder(tmp_path / "c", kept, [1, 2])).findings == ()


def test_a_value_in_no_region_is_outside_of_the_labels(tmp_path: Path) -> None:
    root = folder(tmp_path, {"background": 0, "left": [2, 3], "cavity": 3}, [2, 3])
    assert {"label value outside the declared labels"} == {f.fault for f in check_cohort(root).findings}


APART = {**HEART, "liver": [4, 5]}


@pytest.mark.parametrize(
    ("cell", "values"),
    [("heart;left;cavity", (1, 2, 3)), ("liver", (4, 5)), ("4", (4, 5)), ("", None), (";", ())],
)
def test_regions_are_annotated_by_name_or_number(
    cell: str, values: tuple[int, ...] | None, tmp_path: Path
) -> None:
    table = f"case,annotated\na,{cell}\nb,\n"
    cohort = load_cohort(folder(tmp_path / "data", APART, [1, 2, 3, 4], table))
    assert cohort.cases[0].annotated == values
    again = write_subset_folder(cohort, cohort.cases, tmp_path / "subset")
    assert (again.cases[0].annotated, again.regions) == (values, cohort.regions)


def test_regions_that_share_values_are_annotated_together(tmp_path: Path) -> None:
    root = folder(tmp_path, APART, [1, 2, 3, 4], "case,annotated\na,heart;cavity\nb,\n")
    with pytest.raises(DataError, match="left"):
        load_cohort(root)
