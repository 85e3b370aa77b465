"""Which classes a mirror image would exchange."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from semivox.errors import SettingsError
from semivox.prepare import FULL, Plan, Store, StoredCase
from semivox.prepare.sides import exchanged
from semivox.prepare.store_entry import some_points
from semivox.randomness import Key
from semivox.runs.flips import without_exchanges
from semivox.testing.displays import Told
from semivox.training.config import resolve

SIZE = (40, 30, 8)


def ball(centre: tuple[float, ...], radii: tuple[float, ...] = (5, 4, 3)) -> np.ndarray:
    grid = np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij")
    squares = [((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)]
    return np.asarray(np.sum(squares, axis=0) <= 1)


def bean(centre: tuple[float, ...], turned: int = 1) -> np.ndarray:
    """A ball with a dent on one side, so that it is not its own mirror image."""
    x, y, z = centre
    return ball(centre, (6, 7, 3)) & ~ball((x + turned * 5, y, z), (5, 5, 3))


def case(*planes: np.ndarray | None) -> StoredCase:
    size = next(p.shape for p in planes if p is not None)
    target = np.stack([np.zeros(size) if p is None else p for p in planes]).astype(np.uint8) * FULL
    return StoredCase(
        name="c",
        image=np.zeros((1, *size), np.float16),
        target=target,
        valid=None,
        foreground={k: some_points(p, Key(k)) for k, p in enumerate(planes, 1) if p is not None and p.any()},
        body=np.zeros((1, len(size)), np.int32),
        spacing=(1.0, 1.0, 3.0)[: len(size)],
        annotated=np.array([p is not None for p in planes], np.float32),
    )


def shifted(i: int) -> float:
    return 15 + (i % 3) - 1


def test_kidneys_are_exchanged_along_the_axis_between_them_and_no_other() -> None:
    cases = [case(bean((10, shifted(i), 4), 1), bean((29, shifted(i) + 1, 4), -1)) for i in range(4)]
    assert exchanged(cases, ["left kidney", "right kidney"], (0, 1)) == {0: "left kidney and right kidney"}
    assert exchanged(cases, ["a", "b"], (0, 1)) == {0: "a and b"}  # names are not needed
    assert exchanged(cases, ["a", "b"], (1,)) == {}


def test_shapes_that_differ_are_no_twins_whatever_their_names() -> None:
    cases = [case(ball((12, 15, 4), (3, 11, 3)), ball((26, shifted(i), 4), (7, 5, 3))) for i in range(4)]
    assert exchanged(cases, ["left_ventricle", "right_ventricle"], (0, 1), sideways=0) == {}


def test_twins_that_change_places_are_told_apart_by_something_else() -> None:
    here, there = bean((10, 15, 4), 1), bean((29, 15, 4), -1)
    assert exchanged([case(here, there), case(there, here)], ["a", "b"], (0, 1)) == {}


LEFT_ONES = [
    "left kidney", "kidney_L", "Kidney-left", "L. kidney", "kidney (left)", "leftKidney", "KidneyLeft",
    "LKidney", "kidneyL", "leftkidney", "kidneyleft", "LEFT_KIDNEY", "lt kidney", "left_kidney_2", "L",
    "ctx-lh-insula", "links", "linke Niere", "rein gauche", "riñón izquierdo", "rim esquerdo",
    "rene sinistro", "左肾",
]  # fmt: skip
NO_SIDE = [
    "liver", "lung", "vertebrae_L1", "L5", "LV", "cleft palate", "bright spot", "rectum", "L/R kidney",
    "tête de l'humérus", "upright",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "off"), [*((name, {0}) for name in LEFT_ONES), *((name, set()) for name in NO_SIDE)]
)
def test_one_side_alone_is_known_by_its_name_and_its_place(name: str, off: set[int]) -> None:
    one_side = [case(bean((10 + i, 15, 4))) for i in range(3)]
    assert set(exchanged(one_side, [name], (0, 1), sideways=0)) == off
    assert exchanged(one_side, [name], (0, 1)) == {}  # nobody knows where left is
    both_sides = [*one_side, case(bean((29, 15, 4), -1))]
    assert exchanged(both_sides, [name], (0, 1), sideways=0) == {}


NAMED_PAIRS = [
    ("left kidney", "right kidney"), ("kidney_l", "kidney_r"), ("L. kidney", "R. kidney"), ("L", "R"),
    ("kidney (left)", "Kidney, right"), ("leftkidney", "rightkidney"), ("LKidney", "RKidney"),
    ("linke Niere", "rechte Niere"), ("rein gauche", "rein droit"), ("左肾", "右肾"), ("left1", "right1"),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), NAMED_PAIRS)
def test_a_named_pair_that_no_scan_shows_together(left: str, right: str) -> None:
    """A crop around either kidney, or one of them annotated in each scan: the mirror image is the other."""
    apart = [case(bean((20, 15, 4), 1), None), case(None, bean((19, 15, 4), -1))]
    assert set(exchanged(apart, [left, right], (0, 1), sideways=0)) == {0}
    assert exchanged(apart, [left, right], (1,), sideways=0) == {}
    assert exchanged(apart, ["liver", "spleen"], (0, 1), sideways=0) == {}


def tube(centre: tuple[float, float], bend: float) -> np.ndarray:
    """A vessel that runs along the second axis in a curve."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij")
    across = x - centre[0] - bend * np.sin(y / 4)
    return np.asarray((across**2 + (z - centre[1]) ** 2 <= 1.5**2) & (abs(y - 14) < 11))


def test_thin_twins_are_told_by_their_names() -> None:
    """Vessels that lie a voxel beside each other's mirror image share few voxels with it."""
    cases = [case(tube((10, 4), 3.0), tube((29 + i, 3.5), -4.5)) for i in range(3)]
    assert set(exchanged(cases, ["left carotid", "right carotid"], (0, 1), sideways=0)) == {0}
    assert exchanged(cases, ["a", "b"], (0, 1), sideways=0) == {}


def test_what_is_missing_or_was_not_annotated_says_nothing() -> None:
    full = case(bean((10, 15, 4), 1), bean((29, 15, 4), -1))
    assert set(exchanged([full, case(bean((10, 15, 4)), None)], ["a", "b"], (0, 1))) == {0}
    assert exchanged([case(bean((10, 15, 4)), None)], ["a", "b"], (0, 1)) == {}
    assert exchanged([], ["a", "b"], (0, 1)) == {}


def flips(
    cases: list[StoredCase], names: list[str], axes: tuple[int, ...], flip_axes: list[int] | None = None
) -> tuple[int, ...]:
    """Those of a run on these cases, whose plan has these axes."""
    store = SimpleNamespace(labeled=range(len(cases)), case=cases.__getitem__)
    classes = [SimpleNamespace(name=name) for name in names]
    plan = SimpleNamespace(dims=len(axes), axes=axes, classes=classes, spacing_known=False)
    config, _ = resolve(Path("scans"), {}, assignments={"augmentation.flip_axes": flip_axes})
    told = without_exchanges(config, cast(Store, store), cast(Plan, plan), Told())
    return told.augmentation.mirror_axes


def test_the_axis_from_left_to_right_is_the_plan_s_and_of_pictures_the_first() -> None:
    above = [case(bean((26, 6 + i, 4))) for i in range(3)]  # ahead of the middle along the second axis
    assert flips([*above, case(bean((10, 6, 4)))], ["left kidney"], (0, 1, 2)) == (0, 1)
    assert flips(above, ["left kidney"], (1, 0, 2)) == (0,)
    assert flips(above, ["left kidney"], (1, 2, 0)) == (0, 1)
    pictures = [case(bean((10 + i, 15, 4))[..., 4]) for i in range(3)]
    assert flips(pictures, ["left lung"], (0, 1)) == (1,)
    assert flips(pictures, ["lung"], (0, 1)) == (0, 1)
    assert flips(pictures, ["left lung"], (0, 1), flip_axes=[0]) == (0,)


@pytest.mark.parametrize(
    ("flip_axes", "axes", "said"), [([2], (0, 1), "do not have"), ([1, 1], (0, 1, 2), "twice")]
)
def test_flips_that_cannot_be_are_refused(flip_axes: list[int], axes: tuple[int, ...], said: str) -> None:
    """A model of such flips could not be read again."""
    plane = bean((10, 15, 4))
    with pytest.raises(SettingsError, match=f"flip_axes.*{said}"):
        flips([case(plane if len(axes) == 3 else plane[..., 4])], ["a"], axes, flip_axes=flip_axes)


@pytest.mark.parametrize(("data", "names"), [("acdc", 3), ("hippocampus", 2)])
def test_real_neighbours_are_no_twins(shared_data: Path, data: str, names: int, tmp_path: Path) -> None:
    from semivox.cohort import load_cohort, split_cohort
    from semivox.prepare import build_store, fingerprint, make_plan

    cohort = load_cohort(shared_data / data / "train", "6")
    split = split_cohort(cohort, "6")
    plan = make_plan(fingerprint(cohort, split, cache=tmp_path), 60.0, override={"rung": 2})
    store = build_store(cohort, split, plan, cache=tmp_path)
    cases = [store.case(i) for i in store.labeled]
    assert exchanged(cases, [c.name for c in plan.classes], (0, 1), plan.axes.index(0)) == {}
    assert len(plan.classes) == names
