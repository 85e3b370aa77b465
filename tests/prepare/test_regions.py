"""Regions in fingerprint, plan and store: what is measured of them is what a label of theirs alone gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import Region, Regions, inside
from semivox.cohort.case import Case, Cohort, Split
from semivox.errors import DataError, SettingsError
from semivox.prepare import build_store, fingerprint, make_plan, plan_from_json, plan_to_json

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
REGIONS = Regions((Region("whole", (1, 2), 1), Region("core", (2,), 2), Region("leak", (1, 5), 5)))


def cohort(folder: Path, regions: Regions, values: dict[int, str]) -> Cohort:
    """A ball with a shell of one voxel (1) around a core (2), and now and then a 5; with ``values`` for label
    values where there are no regions."""
    folder.mkdir()
    cases, points = [], np.moveaxis(np.indices((24, 24, 12)), 0, -1) - np.array([11.5, 12.2, 5.7])
    for i in range(3):
        far = np.linalg.norm(points * [1, 1, 2], axis=-1)
        label = np.where(far < 7 + i / 2, 2, np.where(far < 8 + i / 2, 1, 0)).astype(np.uint8)
        label[0, 0, i] = 5
        if not regions:  # the region with the number that values names, as the only class
            label = inside(label, next(iter(values)), REGIONS.parts).astype(np.uint8)
        paths = folder / f"c{i}_0000.nii.gz", folder / f"c{i}.nii.gz"
        noise = np.random.default_rng(i).normal(size=label.shape).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, AFFINE), paths[0])
        nib.save(nib.Nifti1Image(label, AFFINE), paths[1])
        cases.append(Case(f"c{i}", (paths[0],), paths[1]))
    named = dict(regions.atoms) if regions else {1: "alone"}
    return Cohort(folder, tuple(cases), ("MR",), named, regions=regions)


def test_a_region_is_planned_as_if_it_were_the_only_class(tmp_path: Path) -> None:
    data = cohort(tmp_path / "regions", REGIONS, {})
    split = Split(data.cases[:2], data.cases[2:])
    plan = make_plan(fingerprint(data, split, workers=1), override={"rung": 2})
    assert [(r.value, r.name, r.parts, r.written) for r in plan.regions] == [
        (number, r.name, r.values, r.written) for number, r in enumerate(REGIONS.each, 1)
    ]
    for region in plan.regions:
        alone = cohort(tmp_path / region.name, Regions(), {region.value: region.name})
        split = Split(alone.cases[:2], alone.cases[2:])
        (known,) = make_plan(fingerprint(alone, split, workers=1), override={"rung": 2}).classes
        assert (region.voxels, region.one_piece) == (known.voxels, known.one_piece)
        assert region.dice_ceiling == pytest.approx(known.dice_ceiling, abs=2e-3)
    assert plan.judged == plan.regions
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
    assert [region.values for region in plan.scheme.each] == [(1, 2), (2,), (1, 3)]


def test_the_grid_is_chosen_by_what_is_judged(tmp_path: Path) -> None:
    """The shell alone does not bear a coarser grid; what it is a part of does."""
    data = cohort(tmp_path / "data", Regions(REGIONS.each[:2]), {})
    for case in data.cases:
        label = nib.load(case.label)
        kept = np.asarray(label.dataobj)
        nib.save(nib.Nifti1Image(np.where(kept == 5, 0, kept).astype(np.uint8), AFFINE), case.label)
    split = Split(data.cases, ())
    by_region = fingerprint(data, split, workers=1)
    by_class = fingerprint(replace(data, regions=Regions()), split, workers=1)
    plans = [make_plan(found, 20.0) for found in (by_region, by_class)]
    assert (plans[0].rung, plans[1].rung) == (2, 1)


def test_a_part_that_no_labelled_case_shows_has_no_voxels_and_is_no_error(tmp_path: Path) -> None:
    more = Regions((*REGIONS.each, Region("all", (1, 2, 5, 7), 7)))
    data = cohort(tmp_path / "data", more, {})
    split = Split(data.cases, ())
    plan = make_plan(fingerprint(data, split, workers=1), override={"rung": 1})
    assert [shown.voxels > 0 for shown in plan.classes] == [True, True, True, False]
    store = build_store(data, split, plan, tmp_path / "cache", workers=1)
    assert store.case(0).target.shape[0] == 4
    lost = replace(data, regions=Regions((*more.each, Region("lost", (7,), 7))))
    with pytest.raises(DataError, match="lost"):
        fingerprint(lost, split, workers=1)


def test_a_plan_of_other_regions_is_refused(tmp_path: Path) -> None:
    data = cohort(tmp_path / "data", REGIONS, {})
    plan = make_plan(fingerprint(data, Split(data.cases, ()), workers=1))
    content = plan_to_json(plan)
    for change in ({"parts": [1, 9]}, {"parts": []}, {"written": 9}, {"parts": "1"}):
        content["regions"] = [{**plan_to_json(plan)["regions"][0], **change}]
        with pytest.raises(SettingsError):
            plan_from_json(content)
