"""Labels that are drawn in some slices: found, kept on any working grid, and what crops are centred on."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.batches.geometry import draw_start
from semivox.cohort import Case, Cohort, Split, Volume
from semivox.cohort.partly_drawn import drawn_slices
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan, build_store, fingerprint
from semivox.prepare.grid import Grid
from semivox.prepare.targets import known_slices
from semivox.randomness import Key

IGNORE = 2
RNG = np.random.default_rng(0)
AFFINES = {
    "ras": np.eye(4),
    "turned": np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]),
}


def ball(shape: tuple[int, ...] = (24, 22, 20)) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return (np.square(grid).sum(0) < 0.5).astype(np.uint8)


def partly(axis: int, drawn: list[int]) -> np.ndarray:
    label = np.full_like(ball(), IGNORE)
    np.moveaxis(label, axis, 0)[drawn] = np.moveaxis(ball(), axis, 0)[drawn]
    return label


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slices_that_were_drawn_are_found_and_fill_the_others(axis: int) -> None:
    found = drawn_slices(partly(axis, [3, 4, 11]), IGNORE)
    assert found is not None
    assert (found.axis, np.flatnonzero(found.drawn).tolist()) == (axis, [3, 4, 11])
    filled = np.moveaxis(found.filled(partly(axis, [3, 4, 11])), axis, 0)
    true = np.moveaxis(ball(), axis, 0)
    for i in range(len(filled)):
        nearest = min([3, 4, 11], key=lambda slice_: (abs(slice_ - i), slice_))
        np.testing.assert_array_equal(filled[i], true[nearest])


def test_what_is_not_drawn_slice_by_slice_is_left_as_it_is() -> None:
    whole, rim, box = ball(), ball(), np.full_like(ball(), IGNORE)
    rim[8:12, 8:12, 8:12] = IGNORE
    box[4:7, 4:7, 4:7] = 0
    for label in (whole, rim, box, np.full_like(whole, IGNORE), np.full((9, 9), IGNORE)):
        assert drawn_slices(label, IGNORE) is None
    assert drawn_slices(partly(2, [3]), None) is None
    edge = partly(2, [3])
    edge[0, :5, 3] = IGNORE  # a drawn slice may have some of it, too
    assert drawn_slices(edge, IGNORE) is not None


@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize("spacing", [0.7, 1.0, 1.5, 2.0, 3.0, 4.4])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_no_drawn_slice_is_lost_on_a_working_grid_and_few_others_count(
    axis: int, spacing: float, affine: str
) -> None:
    slices = drawn_slices(partly(axis, [2, 9, 15]), IGNORE)
    assert slices is not None
    volume = Volume(partly(axis, [2, 9, 15])[None], AFFINES[affine])
    grid = Grid.lay(volume, (0, 1, 2), (spacing,) * 3)
    known = known_slices(slices, grid)
    working = grid.orientation.permutation.index(axis)
    n, m = len(slices.drawn), grid.working_shape[working]
    assert len(known) == m
    places = [n - 1 - i if grid.orientation.flips[working] else i for i in (2, 9, 15)]
    for j in range(m):
        low, high = j * n / m, (j + 1) * n / m  # the edges of the working slice, in slices of the file
        holds = any(low - 1e-9 <= place + 0.5 < high + 1e-9 for place in places)
        lies = any(place <= (low + high) / 2 < place + 1 for place in places)
        assert known[j] == (holds or lies)
    assert known.sum() >= min(3, m / 2)


def plan(spacing: float) -> Plan:
    network = NetworkPlan("unet", (4, 4), ((3,) * 3,) * 2, ((2,) * 3,))
    return Plan(
        3, (0, 1, 2), (1.0,) * 3, (spacing,) * 3, True, spacing, (8,) * 3, (8,) * 3, (2, 2), network,
        (ChannelPlan("mri", "zscore"),), (ClassPlan(1, "ball", 9, 1.0),), None, 1.0, None, (),
    )  # fmt: skip


def cohort_of(folder: Path, label: np.ndarray) -> Cohort:
    nib.save(nib.Nifti1Image(RNG.normal(size=label.shape).astype(np.float32), np.eye(4)), folder / "a.nii.gz")
    nib.save(nib.Nifti1Image(label, np.eye(4)), folder / "label.nii.gz")
    case = Case("a", (folder / "a.nii.gz",), folder / "label.nii.gz")
    return Cohort(folder, (case,), ("mri",), {1: "ball"}, ignore=IGNORE)


@pytest.mark.parametrize("spacing", [1.0, 2.0, 3.0])
def test_a_stored_label_is_valid_where_it_was_drawn_and_crops_find_it(spacing: float, tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, partly(2, [9]))
    stored = build_store(cohort, Split(cohort.cases, ()), plan(spacing), tmp_path / "cache", 1).case(0)
    assert stored.valid is not None
    assert stored.target is not None
    assert stored.known is not None
    (slices,) = np.unique(np.argwhere(stored.valid[0] > 0)[:, 2], return_counts=False)[None]
    assert len(slices) == 1
    assert set(stored.known[:, 2]) == set(slices)
    assert set(stored.foreground[1][:, 2]) == set(slices)
    whole = cohort_of(tmp_path, ball())
    full = build_store(whole, Split(whole.cases, ()), plan(spacing), tmp_path / "cache", 1).case(0)
    assert full.valid is full.known is None
    assert full.target is not None
    here = (0, ..., int(slices[0]))
    assert np.abs(stored.target[here].astype(int) - full.target[here]).max() <= (10 if spacing == 1 else 130)
    for i in range(30):
        for where in ("random", "body", "foreground"):
            at = draw_start(
                Key(i), where, stored.image.shape[1:], (4, 4, 3), stored.foreground, stored.body, stored.known
            )  # fmt: skip
            assert at[2] <= slices[0] < at[2] + 3


def test_a_few_slices_are_counted_as_the_whole_they_stand_for(tmp_path: Path) -> None:
    """A fingerprint of every other slice is about that of all; of the slices alone it would be half, in
    pieces, and no coarser grid would keep them."""
    found = {}
    for name, label in (("whole", ball()), ("partly", partly(2, list(range(0, 20, 2))))):
        (tmp_path / name).mkdir()
        cohort = cohort_of(tmp_path / name, label)
        found[name] = fingerprint(cohort, Split(cohort.cases, ()), cache=tmp_path / "cache").cases[0]
    whole, few = found["whole"], found["partly"]
    assert few.voxels[0] == pytest.approx(whole.voxels[0], rel=0.1)
    assert few.largest == whole.largest == (1.0,)
    for one, other in zip(few.ceilings, whole.ceilings, strict=True):
        assert one[0] == pytest.approx(other[0], abs=0.03)
