"""Regions on the way from probabilities to masks, files and numbers, against a slow version of each step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from semivox.cohort import Region, Regions, Volume, inside, read_label, read_volume
from semivox.cohort.volume import Source
from semivox.commands.evaluate import evaluate
from semivox.commands.predict import predict
from semivox.errors import DataError, SettingsError
from semivox.inference import Segmentation, load_ensemble, load_model
from semivox.inference.native_grid import native_classes
from semivox.methods.cleanup import in_one_piece
from semivox.prepare.grid import Grid
from semivox.prepare.plan import ClassPlan, RegionPlan
from semivox.prepare.resample import resample
from semivox.testing.synthetic import tiny_plan

NESTED = Regions((Region("heart", (1, 2, 4), 1), Region("left", (2, 4), 4), Region("cavity", (2,), 2)))
OVERLAPPING = Regions((Region("a", (1, 3), 1), Region("b", (2, 3), 2)))
SCHEMES = {"nested": NESTED, "overlapping": OVERLAPPING}


def random_probabilities(kinds: int, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth noise, and at one end a wide area of each class in turn, of which 0.7 are sure."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(kinds, *shape)), (0, 1, 1, 1))
    exponent = np.exp(8 * noise / noise.std())
    probs = (exponent / exponent.sum(0)).astype(np.float32)
    probs[:, -6:] = 0.1
    probs[3, -6:] = 0.7
    return probs


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("runs", [1, 2])
def test_a_region_lies_where_its_outputs_have_more_than_half(scheme: str, runs: int) -> None:
    """Voxel by voxel, from the probabilities of the whole native grid, in several blocks and runs."""
    regions = SCHEMES[scheme].indexed(tuple(SCHEMES[scheme].atoms))
    volume = Volume(np.zeros((1, 70, 9, 8), np.float32), np.eye(4), Source(None, "nifti"))
    grid = Grid.lay(volume, (0, 1, 2), (1.5, 1.5, 1.5))
    parts = [random_probabilities(4, grid.working_shape) / runs]
    parts += [random_probabilities(4, (31, 9, 8))[[1, 0, 2, 3]] / runs] if runs == 2 else []
    probs = sum(resample(part, grid.native_shape) for part in parts)
    found = native_classes(grid, parts, regions=regions)
    for index in np.ndindex(*found.shape):
        marginals = [sum(probs[v][index] for v in region.values) for region in regions.each]
        if min(abs(p - 0.5) for p in marginals) > 1e-5:
            assert found[index] == regions.value_of(i for i, p in enumerate(marginals) if p > 0.5)
    assert set(np.unique(found)) == {0, 1, 2, 3}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_of_a_segmentation_are_those_of_each_region_as_a_mask(scheme: str) -> None:
    regions = SCHEMES[scheme]
    rng = np.random.default_rng(0)
    before = rng.choice([0, *regions.atoms], (9, 8, 7))
    after = np.where(rng.random(before.shape) < 0.2, rng.permutation(before), before)
    volume = Volume(np.zeros((1, 9, 8, 7), np.float32), np.diag([1.0, 2, 3, 1]), Source(None, "nifti"))
    whole = Segmentation(after, volume, regions.names, 0.0, found=before, parts=regions.parts)
    for number in regions.names:
        here, there = (inside(m, number, regions.parts).astype(int) for m in (after, before))
        alone = Segmentation(here, volume, {1: "x"}, 0.0, found=there)
        for name in ("voxels", "volume_ml", "components", "removed", "border_contact", "boxes"):
            assert getattr(whole, name)[number] == getattr(alone, name)[1], name


def test_a_piece_that_leaves_a_region_leaves_its_parts_and_stays_in_the_whole() -> None:
    label = np.zeros((12, 12), np.uint8)
    label[1:8, 1:8] = 1  # heart
    label[2:4, 2:4] = 3  # left, a small piece of it
    label[5:8, 2:8] = 3
    label[5:7, 3:6] = 2  # cavity in it
    label[10, 10] = 2  # a cavity far away
    plan = replace(
        tiny_plan(2),
        classes=tuple(ClassPlan(v, str(v), 9.0, 1.0) for v in (1, 2, 4)),
        regions=tuple(
            RegionPlan(n, r.name, 9.0, 1.0, True, r.values, r.written) for n, r in enumerate(NESTED.each, 1)
        ),
    )
    expected = label.copy()
    expected[2:4, 2:4] = 1
    expected[10, 10] = 0
    np.testing.assert_array_equal(in_one_piece(label, plan), expected)
    several = replace(plan, regions=tuple(replace(r, one_piece=False) for r in plan.regions))
    assert in_one_piece(label, several) is label


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("format", ["nii.gz", "seg.nrrd"])
def test_masks_in_any_format_are_measured_alike(
    scheme: str, format: str, make_run: Callable[..., Path], save_scan: Callable[..., Path], tmp_path: Path
) -> None:
    """Predicted, written, read back and compared with another run's masks: the same Dice as in numpy."""
    regions = SCHEMES[scheme]
    run, other = (make_run(name=name, regions=regions, seed=seed) for name, seed in (("a", 7), ("b", 8)))
    scan = save_scan("scans/case.nii.gz")
    for _ in range(2):  # the second time over its own
        assert predict(run, [scan], tmp_path / "masks", format=format).failed == ()
    predict(other, [scan], tmp_path / "labels")
    found, true = (load_model(each).predict(scan).mask for each in (run, other))
    written = tmp_path / "masks" / f"case.{format}"
    np.testing.assert_array_equal(read_label(written, read_volume(scan), regions=regions).array[0], found)
    row = json.loads((tmp_path / "masks" / "predictions.json").read_text())["cases"][0]
    measured = evaluate(tmp_path / "masks", tmp_path / "labels", out=tmp_path / "e.json")
    assert measured["classes"] == {str(k): name for k, name in regions.names.items()}
    assert measured["regions"] == {str(k): list(values) for k, values in regions.parts.items()}
    for number, name in regions.names.items():
        here, there = (inside(mask, number, regions.parts) for mask in (found, true))
        dice = 2 * (here & there).sum() / (here.sum() + there.sum())
        assert measured["cases"]["case"][str(number)]["dice"] == pytest.approx(dice), name
        assert row["voxels"][str(number)] == here.sum()


def test_slicer_sees_a_segment_a_region(
    make_run: Callable[..., Path], save_scan: Callable[..., Path], tmp_path: Path
) -> None:
    """Read by pynrrd and by the keys that Slicer reads: a layer each, the whole with its parts."""
    import nrrd

    scan = save_scan("scans/case.nii.gz")
    model = load_model(make_run(regions=NESTED))
    path = model.predict(scan).save(tmp_path / "mask", "seg.nrrd")
    array, header = nrrd.read(str(path))
    mask = model.predict(scan).mask
    for number, name in NESTED.names.items():
        key = f"Segment{number - 1}"
        assert header[f"{key}_Name"] == name
        layer = array[int(header[f"{key}_Layer"])] == int(header[f"{key}_LabelValue"])
        np.testing.assert_array_equal(layer, inside(mask, number, NESTED.parts))


def test_runs_of_other_regions_are_not_averaged_and_folders_not_mixed(
    make_run: Callable[..., Path], save_scan: Callable[..., Path], tmp_path: Path
) -> None:
    plain, a = make_run(name="plain", values=(1, 2, 4)), make_run(name="a", regions=NESTED)
    b = make_run(name="b", regions=NESTED, seed=8)
    with pytest.raises(DataError, match="classes"):
        load_ensemble([a, plain])
    scan = save_scan("scans/case.nii.gz")
    both = load_ensemble([a, b]).predict(scan, probabilities=True)
    of_each = [load_model(run).predict(scan, probabilities=True).probabilities for run in (a, b)]
    heart = sum(of_each)[1:].sum(0) / 2 > 0.5
    np.testing.assert_array_equal(both.mask > 0, heart)
    predict(a, [scan], tmp_path / "masks")
    with pytest.raises(SettingsError, match="other classes"):
        predict(plain, [scan], tmp_path / "masks")


DAMAGE = {
    "a value outside": lambda rows: rows[0]["values"].append(7),
    "written outside": lambda rows: rows[2].update(written=1),
    "a value in none": lambda rows: rows[0]["values"].remove(1),
    "a name twice": lambda rows: rows[0].update(name="left"),
    "no value": lambda rows: rows[2].update(values=[]),
    "a value of text": lambda rows: rows[2].update(values=["x"]),
    "another order": lambda rows: rows.reverse(),
    "one less": lambda rows: rows.pop(),
    "none": lambda rows: rows.clear(),
    "no list": lambda rows: rows[0].update(values=3),
}


@pytest.mark.parametrize("why", DAMAGE)
def test_a_card_whose_regions_do_not_fit_is_refused(why: str, make_run: Callable[..., Path]) -> None:
    run = make_run(regions=NESTED)
    card = json.loads((run / "model.json").read_text())
    DAMAGE[why](card["regions"])
    (run / "model.json").write_text(json.dumps(card))
    with pytest.raises(DataError) as raised:
        load_model(run)
    assert raised.value.path == run / "model.json"
