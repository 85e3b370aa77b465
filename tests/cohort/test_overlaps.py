"""Masks that overlap become label values and regions that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.cohort import check_cohort, import_masks, inside, load_cohort, read_label
from semivox.cohort.overlaps import overlap, regions_of_masks
from semivox.errors import DataError

SHAPE = (6, 5, 4)


@given(st.integers(1, 11), st.integers(1, 3), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_label_map_says_what_the_masks_say(structures: int, cases: int, filled: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [{f"s{i}": rng.random(SHAPE) < filled for i in range(structures)} for _ in range(cases)]
    regions = regions_of_masks(drawn)
    assert regions.fault() is None
    combinations = {tuple(bool(m[v]) for m in masks.values()) for masks in drawn for v in np.ndindex(SHAPE)}
    assert len(regions.atoms) == len(combinations - {(False,) * structures})
    for masks in drawn:
        labels = regions.label_map([masks[region.name] for region in regions.each])
        for number, name in regions.names.items():
            np.testing.assert_array_equal(inside(labels, number, regions.parts), masks[name])
        assert overlap(masks) == any(sum(m[v] for m in masks.values()) > 1 for v in np.ndindex(SHAPE))


def nested() -> dict[str, np.ndarray]:
    whole = np.zeros(SHAPE, bool)
    whole[1:6, 1:5, 1:4] = True
    part, core = whole.copy(), whole.copy()
    part[1] = core[:3] = False
    return {"core": core, "whole": whole, "part": part}


def test_nested_structures_are_numbered_from_the_outside_in() -> None:
    regions = regions_of_masks([nested()])
    assert [(r.name, r.values, r.written) for r in regions.each] == [
        ("whole", (1, 2, 3), 1),
        ("part", (2, 3), 2),
        ("core", (3,), 3),
    ]


def masks_folder(root: Path, cases: Mapping[str, Mapping[str, np.ndarray]], value: int = 1) -> Path:
    """An image a case, one more without masks, and a file a structure."""
    (root / "images").mkdir(parents=True)
    for case in (*cases, "unlabelled"):
        noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, np.diag([1.0, 2, 3, 1])), root / f"images/{case}.nii.gz")
    for case, masks in cases.items():
        (root / "labels" / case).mkdir(parents=True)
        for name, mask in masks.items():
            array = mask.astype(np.uint8) * value
            path = root / "labels" / case / f"{name}.nii.gz"
            nib.save(nib.Nifti1Image(array, np.diag([1.0, 2, 3, 1])), path)
    return root


def test_masks_are_imported_as_regions(tmp_path: Path) -> None:
    other = {name: np.roll(mask, 1, 1) for name, mask in nested().items()}
    cases = {"a": nested(), "b": {**other, "core": np.zeros(SHAPE, bool)}}
    folder = import_masks(masks_folder(tmp_path / "src", cases, value=255), tmp_path / "dst")
    assert check_cohort(folder).classes == {"whole": 2, "part": 2, "core": 1}
    cohort = load_cohort(folder)
    assert [case.label is None for case in cohort.cases] == [False, False, True]
    for case in cohort.cases[:2]:
        labels = read_label(case.label).array[0]
        for number, name in cohort.regions.names.items():
            here = inside(labels, number, cohort.regions.parts)
            np.testing.assert_array_equal(here, cases[case.name][name])


def test_masks_that_do_not_overlap_are_plain_classes(tmp_path: Path) -> None:
    apart = {"left": np.arange(SHAPE[0]) < 2, "right": np.arange(SHAPE[0]) > 3}
    cases = {"a": {n: np.broadcast_to(m[:, None, None], SHAPE) for n, m in apart.items()}}
    cohort = load_cohort(import_masks(masks_folder(tmp_path / "src", cases), tmp_path / "dst"))
    assert (dict(cohort.classes), bool(cohort.regions)) == ({1: "left", 2: "right"}, False)


def test_what_is_not_one_mask_a_structure_is_refused(tmp_path: Path) -> None:
    lacking = masks_folder(tmp_path / "a", {"a": nested(), "b": {"whole": nested()["whole"]}})
    with pytest.raises(DataError, match="lacks the mask"):
        import_masks(lacking, tmp_path / "dst")
    lost = masks_folder(tmp_path / "b", {"a": nested()})
    (lost / "images/a.nii.gz").unlink()
    with pytest.raises(DataError, match="without an image"):
        import_masks(lost, tmp_path / "dst")
    several = masks_folder(tmp_path / "c", {"a": nested()})
    array = np.arange(120, dtype=np.uint8).reshape(SHAPE) % 3
    nib.save(nib.Nifti1Image(array, np.diag([1.0, 2, 3, 1])), several / "labels/a/core.nii.gz")
    with pytest.raises(DataError, match="one value beside 0"):
        import_masks(several, tmp_path / "dst")
    moved = masks_folder(tmp_path / "d", {"a": nested()})
    nib.save(nib.Nifti1Image(array % 2, np.eye(4)), moved / "labels/a/core.nii.gz")
    with pytest.raises(DataError, match="different grids"):
        import_masks(moved, tmp_path / "dst")
    empty = masks_folder(tmp_path / "e", {"a": {"whole": np.zeros(SHAPE, bool)}})
    with pytest.raises(DataError, match="no mask shows"):
        import_masks(empty, tmp_path / "dst")
    assert not (tmp_path / "dst").exists()
