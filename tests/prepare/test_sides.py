"""Which classes a mirror image would exchange."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semivox.prepare import FULL, StoredCase
from semivox.prepare.sides import exchanged
from semivox.prepare.store_entry import some_points
from semivox.randomness import Key

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
    target = np.stack([np.zeros(SIZE) if p is None else p for p in planes]).astype(np.uint8) * FULL
    return StoredCase(
        name="c",
        image=np.zeros((1, *SIZE), np.float16),
        target=target,
        valid=None,
        foreground={k: some_points(p, Key(k)) for k, p in enumerate(planes, 1) if p is not None and p.any()},
        body=np.zeros((1, 3), np.int32),
        spacing=(1.0, 1.0, 3.0),
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


@pytest.mark.parametrize(
    ("name", "off"),
    [("left kidney", {0}), ("kidney_L", {0}), ("Kidney-left", {0}), ("liver", set()), ("lung", set())],
)
def test_one_side_alone_is_known_by_its_name_and_its_place(name: str, off: set[int]) -> None:
    one_side = [case(bean((10 + i, 15, 4))) for i in range(3)]
    assert set(exchanged(one_side, [name], (0, 1), sideways=0)) == off
    assert exchanged(one_side, [name], (0, 1)) == {}  # nobody knows where left is
    both_sides = [*one_side, case(bean((29, 15, 4), -1))]
    assert exchanged(both_sides, [name], (0, 1), sideways=0) == {}


def test_what_is_missing_or_was_not_annotated_says_nothing() -> None:
    full = case(bean((10, 15, 4), 1), bean((29, 15, 4), -1))
    assert set(exchanged([full, case(bean((10, 15, 4)), None)], ["a", "b"], (0, 1))) == {0}
    assert exchanged([case(bean((10, 15, 4)), None)], ["a", "b"], (0, 1)) == {}
    assert exchanged([], ["a", "b"], (0, 1)) == {}


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
