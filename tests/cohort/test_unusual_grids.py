"""Grids that can be read and are odd are warned of, and measured as they lie."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import load_cohort, split_cohort, unusual_grids
from semivox.cohort.check import check_cohort
from semivox.errors import DataError
from semivox.evaluation.folders import evaluate_folders
from semivox.prepare import COSTS, build_store, fingerprint, make_plan

SHAPE = (12, 10, 8)
AFFINE = np.diag([1, 1, 2, 1.0])


def save(path: Path, array: np.ndarray, affine: np.ndarray, qform: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    if qform is not None:
        image.set_sform(affine, 1)
        image.set_qform(qform, 1)
    nib.save(image, path)


def cohort(root: Path, affines: list[np.ndarray], qform: np.ndarray | None = None) -> Path:
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(
        json.dumps(
            {"channel_names": {"0": "CT"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz"}
        )
    )
    label = np.zeros(SHAPE, np.uint8)
    label[3:6, 3:6, 3:6] = 1
    for i, affine in enumerate(affines):
        noise = np.random.default_rng(i).normal(0, 9, SHAPE).astype(np.float32)
        save(root / f"imagesTr/c{i}_0000.nii.gz", noise, affine, qform if i == 1 else None)
        save(root / f"labelsTr/c{i}.nii.gz", label, affine)
    return root


def warned(root: Path) -> list[tuple[str, str]]:
    report = check_cohort(root)
    assert not report.errors
    return [(f.case or f.found, f.fault) for f in report.findings]


def tilted(degrees: float, mm: float = 2.0) -> np.ndarray:
    affine = np.diag([1, 1, mm, 1.0])
    affine[1, 2] = np.tan(np.radians(degrees)) * mm
    return affine


@pytest.mark.parametrize(
    ("factor", "axes"),
    [
        (10, (0, 1, 2)), (0.1, (0, 1, 2)), (10, (2,)), (0.05, (2,)), (95, (0,)),
    ],
)  # fmt: skip
def test_a_spacing_far_from_the_others_is_warned_of(tmp_path, factor, axes):
    odd = AFFINE.copy()
    odd[list(axes), list(axes)] *= factor
    assert [
        case for case, fault in warned(cohort(tmp_path, [AFFINE, AFFINE, odd, AFFINE])) if "far from" in fault
    ] == ["c2"]


def refused(root: Path) -> list[tuple[str, str]]:
    """Case and fault of what check, the fingerprint and a plan of the other cases say; they must agree."""
    errors = [(f.case, f.fault) for f in check_cohort(root).errors]
    found = load_cohort(root)
    split = split_cohort(found, None)
    with pytest.raises(DataError) as caught:
        fingerprint(found, split)
    odd = [case for case in found.cases if case.images[0] == caught.value.path]
    assert errors == [(odd[0].name, caught.value.fault)]
    usual = replace(found, cases=tuple(case for case in found.cases if case not in odd))
    plan = make_plan(fingerprint(usual, split_cohort(usual, None)), None, COSTS)
    with pytest.raises(DataError, match=caught.value.fault):
        build_store(found, split, plan)
    return errors


@pytest.mark.parametrize("factor", [1000, 1e-3, 250])
@pytest.mark.parametrize("axes", [(0, 1, 2), (0,), (2,)])
def test_a_spacing_that_no_scan_of_the_cohort_can_have_is_refused_wherever_it_is_read(tmp_path, factor, axes):
    odd = AFFINE.copy()
    odd[list(axes), list(axes)] *= factor
    found = refused(cohort(tmp_path, [AFFINE, AFFINE, odd, AFFINE]))
    assert found == [("c2", "the spacing is far from that of the other cases")]


def test_a_scan_that_the_spacing_of_the_cohort_makes_too_large_is_refused_before(tmp_path, monkeypatch):
    odd = AFFINE @ np.diag([60, 60, 60, 1])
    monkeypatch.setattr(unusual_grids, "SMALL", 0)
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "3GiB")  # 960 * 216_000 voxels of two classes: 3.1 GiB
    found = refused(cohort(tmp_path, [AFFINE, AFFINE, odd, AFFINE]))
    assert found == [("c2", "the scan becomes too large at the spacing of the cohort")]
    error = next(f for f in check_cohort(tmp_path).errors)
    assert "12x10x8 voxels of 60x60x120, which are 2.07e+08 voxels of 1x1x2" in error.found
    assert "SEMIVOX_CASE_MEMORY" in error.remedy
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "4GiB")
    assert not check_cohort(tmp_path).errors


def test_spacings_that_nobody_believes_are_no_reason(tmp_path):
    root = cohort(tmp_path, [AFFINE, AFFINE, AFFINE @ np.diag([1000, 1, 1, 1])])
    described = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**described, "spacing_known": False}))
    assert [f.fault for f in check_cohort(root).findings if "spacing" in f.fault] == []


def test_usual_spacings_and_orders_of_axes_are_not(tmp_path):
    turned = AFFINE[:, [2, 0, 1, 3]]
    thin, thick = AFFINE @ np.diag([0.6, 0.6, 0.3, 1]), AFFINE @ np.diag([0.9, 0.9, 3, 1])
    assert warned(cohort(tmp_path, [AFFINE, turned, thin, thick])) == []


@pytest.mark.parametrize(("degrees", "told"), [(25, True), (-3, True), (0.01, False)])
def test_a_tilt_of_the_gantry_is_warned_of(tmp_path, degrees, told):
    found = warned(cohort(tmp_path, [AFFINE, tilted(degrees), AFFINE]))
    assert [name for name, _ in found] == (["c1"] if told else [])


def test_two_places_of_one_scan_are_warned_of(tmp_path):
    other = AFFINE.copy()
    other[0, 3] = 5
    found = warned(cohort(tmp_path, [AFFINE] * 3, qform=other))
    assert [(name, "sform and qform" in fault) for name, fault in found] == [("c1", True)]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_tilted_scan_is_measured_as_it_lies(tmp_path, order, empty):
    """Against distances between all surface points in mm, and volumes from the determinant."""
    affine = tilted(25) @ np.diag([0.7, 0.9, 1, 1])
    rng = np.random.default_rng(0)
    reference = np.zeros(SHAPE, np.uint8, order=order)
    reference[2:7, 3:8, 2:6] = 1
    prediction = (
        np.zeros_like(reference) if empty else (reference & (rng.random(SHAPE) > 0.3)).astype(np.uint8)
    )
    save(tmp_path / "l/a.nii.gz", reference, affine)
    save(tmp_path / "p/a.nii.gz", prediction, affine)
    row = evaluate_folders(tmp_path / "p", tmp_path / "l")["cases"]["a"]["1"]
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    difference = int(prediction.sum()) - int(reference.sum())
    assert row["volume_error_ml"] == pytest.approx(difference * voxel_ml)
    if empty:
        corners = np.array([[i, j, k] for i in (0, 12) for j in (0, 10) for k in (0, 8)]) @ affine[:3, :3].T
        longest = max(np.linalg.norm(a - b) for a in corners for b in corners)
        assert row["hd95_mm"] == pytest.approx(longest)
        return

    def points(mask):
        padded = np.pad(mask.astype(bool), 1)
        inner = np.all([np.roll(padded, s, a) for a in range(3) for s in (1, -1)], axis=0)
        return np.argwhere((padded & ~inner)[1:-1, 1:-1, 1:-1]) @ affine[:3, :3].T

    apart = np.linalg.norm(points(prediction)[:, None] - points(reference)[None], axis=2)
    both = np.concatenate([apart.min(axis=1), apart.min(axis=0)])
    assert row["hd95_mm"] == pytest.approx(np.percentile(both, 95))
    assert row["nsd"] == pytest.approx(np.mean(both <= 2.0))


MIRRORED = AFFINE * [-1, 1, 1, 1]  # nibabel's way where nothing is told


@pytest.mark.parametrize("untold", [[], [1], [0, 1, 2]])
@pytest.mark.parametrize("label", ["as untold", "told, one way", "told, the other way"])
def test_a_scan_that_does_not_tell_which_way_its_axes_run_is_warned_of(
    tmp_path: Path, untold: list[int], label: str
) -> None:
    cohort(tmp_path, [MIRRORED if i in untold else AFFINE for i in range(3)])
    for i in untold:
        files = [tmp_path / f"imagesTr/c{i}_0000.nii.gz", tmp_path / f"labelsTr/c{i}.nii.gz"]
        for file in files if label == "as untold" else files[:1]:
            image = nib.load(file)
            image.set_sform(None, 0)
            image.set_qform(None, 0)
            nib.save(image, file)
        if label == "told, the other way":
            voxels = np.asarray(nib.load(files[1]).dataobj)
            save(files[1], voxels, AFFINE)
    findings = check_cohort(tmp_path).findings
    mixed = [f.found for f in findings if "some scans do not tell which way" in f.fault]
    assert mixed == (["nothing told by c1"] if untold == [1] else [])
    told = [(f.case, f.found) for f in findings if "its label tells another way" in f.fault]
    ways = "the scan is read as LAS, the label tells RAS"
    assert told == ([(f"c{i}", ways) for i in untold] if label == "told, the other way" else [])
    assert {f.severity for f in findings} <= {"warning"}
