"""What Dice is taken of, where regions are judged: all of them, and every class once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semivox.batches import region_table
from semivox.prepare.plan import ClassPlan, RegionPlan
from semivox.testing.synthetic import tiny_plan

VALUES = (1, 2, 4)
CASES = {
    "nested": ([(1, 2, 4), (2, 4), (4,)], [[1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "overlapping": ([(1, 2), (2, 4)], [[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "the classes": ([(2,), (4,), (1,)], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
}


@pytest.mark.parametrize("name", CASES)
def test_dice_is_of_the_regions_and_of_the_classes_that_are_none(name: str) -> None:
    regions, expected = CASES[name]
    plan = replace(
        tiny_plan(2),
        classes=tuple(ClassPlan(value, str(value), 9.0, 1.0) for value in VALUES),
        regions=tuple(
            RegionPlan(n, f"region {n}", 9.0, 1.0, True, parts, parts[-1])
            for n, parts in enumerate(regions, 1)
        ),
    )
    table = region_table(plan)
    assert table is not None
    assert table.tolist() == expected
    assert region_table(replace(plan, regions=())) is None
