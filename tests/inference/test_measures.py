"""What is measured in a segmentation, and when a person is asked to look at it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from semivox.cohort.case import Case, Cohort, Split
from semivox.cohort.volume import Volume
from semivox.inference import Segmentation, training_ranges
from semivox.inference.ranges import departures, joined_ranges
from semivox.inference.uncertainty import entropy, mean_entropy


def segmentation(mask: np.ndarray, spacing: float = 2.0, image: np.ndarray | None = None) -> Segmentation:
    array = np.random.default_rng(0).normal(100, 20, mask.shape) if image is None else image
    affine = np.diag([spacing] * 3 + [1.0])
    return Segmentation(mask, Volume(array[None], affine), {1: "organ", 4: "lesion"}, 0.1)


def blob(shape: tuple[int, ...] = (20, 20, 20), start: int = 5, size: int = 6, value: int = 1) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[(slice(start, start + size),) * mask.ndim] = value
    return mask


def test_volume_pieces_and_border() -> None:
    mask = blob()
    mask[11, 11, 11] = 1  # touches the block at a corner only: one piece
    mask[19, 0, 0] = mask[15, 15, 15] = 4
    found = segmentation(mask)
    assert found.voxels == {1: 217, 4: 2}
    assert found.volume_ml == {1: pytest.approx(217 * 8 / 1000), 4: pytest.approx(0.016)}
    assert found.components == {1: 1, 4: 2}
    assert found.border_contact == {1: 0, 4: 1}


def test_first_and_last_slice_of_a_thick_stack_are_no_border() -> None:
    mask = np.zeros((40, 40, 8), np.uint8)
    mask[10:20, 10:20, :] = 1
    assert segmentation(mask).border_contact[1] == 0
    mask[0, 12, 3] = 1
    assert segmentation(mask).border_contact[1] == 1


def test_entropy_in_nats() -> None:
    probs = np.array([[1.0, 0.5, 1 / 3], [0.0, 0.5, 1 / 3], [0.0, 0.0, 1 / 3]], np.float32)
    np.testing.assert_allclose(entropy(probs), [0, math.log(2), math.log(3)], atol=1e-6)


@pytest.mark.parametrize("start", [0, 6])
def test_mean_entropy_covers_the_foreground_and_two_voxels(start: int) -> None:
    entropies = np.random.default_rng(1).random((14, 12, 13)).astype(np.float32)
    foreground = np.zeros(entropies.shape, bool)
    foreground[start : start + 3, 4:6, 5:9] = True
    near = ndimage.binary_dilation(foreground, iterations=2)
    assert mean_entropy(entropies, foreground) == pytest.approx(float(entropies[near].mean()))
    assert mean_entropy(entropies, foreground & False) == pytest.approx(float(entropies.mean()))


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Cohort, Split]:
    """Two labelled cases and an unlabelled one, whose label file is garbage that nobody may open."""
    cases = []
    for i, name in enumerate("abc"):
        image = np.random.default_rng(i).normal(100, 20, (20, 20, 20)).astype(np.float32)
        nib.save(nib.Nifti1Image(image, np.diag([2.0, 2, 2, 1])), tmp_path / f"{name}.nii.gz")
        label = tmp_path / f"{name}_label.nii.gz"
        nib.save(nib.Nifti1Image(blob(size=5 + i), np.diag([2.0, 2, 2, 1])), label)
        cases.append(Case(name, (tmp_path / f"{name}.nii.gz",), label))
    (tmp_path / "c_label.nii.gz").write_bytes(b"garbage")
    cohort = Cohort(tmp_path, tuple(cases), ("MRI",), {1: "organ", 4: "lesion"}, may_be_empty=(4,))
    return cohort, Split(tuple(cases[:2]), tuple(cases[2:]))


def test_training_ranges_are_the_extremes(trained: tuple[Cohort, Split]) -> None:
    cohort, split = trained
    found = training_ranges(cohort, split)
    assert found["cases"] == 3
    assert found["spacing_mm"] == [[2.0, 2.0]] * 3
    organ = {"present": 1.0, "border_contact": 0.0, "size": [1.0, 216 * 8 / 1000], "components": [1, 1]}
    assert found["classes"]["1"] == {**organ, "size": pytest.approx(organ["size"])}
    assert found["classes"]["4"] == {"present": 0.0, "border_contact": 0.0, "size": None, "components": None}
    images = [nib.load(case.images[0]).get_fdata() for case in cohort.cases]
    assert found["intensity"][0]["mean"] == pytest.approx(
        [min(map(np.mean, images)), max(map(np.mean, images))], rel=1e-5
    )


def test_a_case_like_the_training_cases_needs_no_review(trained: tuple[Cohort, Split]) -> None:
    assert departures(segmentation(blob()), training_ranges(*trained), (4,)) == []


@pytest.mark.parametrize(
    ("mask", "changes", "reason"),
    [
        (blob(size=0), {}, "organ is empty, as in no training case"),
        (blob(start=0), {}, "organ touches the border, as in no training case"),
        (blob(start=2, size=16), {}, "organ has 32.8 ml, in training 1 to 1.73"),
        (blob(start=2, size=16), {"spacing": 8.0}, "organ has 2,097 ml, in training 1 to 1.73"),
        (blob(), {"spacing": 3.5}, "spacing 3.5 mm, in training 2 to 2"),
        (
            blob(),
            {"image": np.full((20, 20, 20), 1100.0)},
            "unusual intensities: the mean of channel 0 is 1100",
        ),
    ],
)
def test_each_departure_has_its_reason(mask, changes, reason: str, trained: tuple[Cohort, Split]) -> None:
    found = departures(segmentation(mask, **changes), training_ranges(*trained), (4,))
    assert any(line.startswith(reason) for line in found), found


def test_many_pieces_are_a_departure(trained: tuple[Cohort, Split]) -> None:
    mask = blob()
    mask[2:18:3, 2, 2] = 1
    found = departures(segmentation(mask), training_ranges(*trained), (4,))
    assert found == ["organ has 7 pieces, in training at most 1"]


@pytest.mark.parametrize("value", [0.0, 100.0, -3.0])
@pytest.mark.parametrize("odd", [0, 20])  # voxels that show something all the same
def test_a_blank_scan_is_to_be_reviewed_unless_the_training_had_such(
    value: float, odd: int, trained: tuple[Cohort, Split]
) -> None:
    image = np.full((20, 20, 20), value)
    image.flat[:odd] = 130
    known = training_ranges(*trained)
    said = f"nothing is to be seen: nearly all voxels of channel 0 are {value:g}"
    for training in (known, None):
        assert said in departures(segmentation(blob(), image=image), training, (4,))
    known["intensity"][0]["low"][0] = known["intensity"][0]["high"][0] = value
    known["intensity"][0]["low"][1] = known["intensity"][0]["high"][1] = 150.0
    assert said not in departures(segmentation(blob(), image=image), known, (4,))


@pytest.mark.parametrize("in_training", [True, False, None])
@pytest.mark.parametrize("told", [True, False])
def test_a_scan_that_alone_does_not_tell_its_axes_way_is_to_be_reviewed(
    in_training: bool | None, told: bool, trained: tuple[Cohort, Split]
) -> None:
    known = training_ranges(*trained)
    assert known["placed"] is True
    for i, case in enumerate(trained[0].cases):
        if in_training is False or (in_training is None and i == 0):
            image = nib.load(case.images[0])
            plain = nib.Nifti1Image(np.asarray(image.dataobj), None)
            plain.header.set_zooms((2, 2, 2))
            plain.header.set_xyzt_units("mm")
            nib.save(plain, case.images[0])
    known = training_ranges(*trained)
    assert known["placed"] is in_training
    assert joined_ranges([known, known])["placed"] is in_training
    assert joined_ranges([known, {**known, "placed": None}])["placed"] is None
    found = segmentation(blob())
    found = replace(found, volume=replace(found.volume, placed=told))
    reasons = departures(found, known, (4,))
    mirrored = [reason for reason in reasons if "it may be mirrored" in reason]
    assert len(mirrored) == (in_training is not None and in_training != told)
    assert len(reasons) == len(mirrored)


def test_without_ranges_only_an_empty_mask_is_a_departure() -> None:
    assert departures(segmentation(blob(start=0)), None) == []
    assert departures(segmentation(blob(size=0)), None) == ["no foreground was found"]


@pytest.mark.parametrize("shape", [(9, 7, 8), (12, 10, 3), (7, 9), (1, 5, 4), (2, 2, 2)])
def test_boxes_and_borders_equal_slow_loops(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(3).choice([0, 0, 0, 1, 2], size=shape).astype(np.uint8)
    found = replace(segmentation(mask), classes={1: "a", 2: "b", 5: "never"})
    cut = [axis for axis, n in enumerate(shape) if 3 * n > max(shape)]
    for value in found.classes:
        places = np.argwhere(mask == value)
        touching = [p for p in places if any(p[a] in (0, shape[a] - 1) for a in cut)]
        assert found.border_contact[value] == len(touching)
        assert found.voxels[value] == len(places)
        expected = [(p.min(), p.max() + 1) for p in places.T] if len(places) else [(0, 0)] * len(shape)
        assert [(s.start, s.stop) for s in found.boxes[value]] == expected
