"""``semivox.write_generated_scans``: what ``semivox.pretraining`` makes, for a user's own script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import semivox
from semivox.cohort import load_cohort, read_case, read_label
from semivox.errors import SettingsError
from semivox.pretraining import KINDS, Recipe, make_scan


def test_a_folder_of_what_make_scan_gives(tmp_path: Path) -> None:
    made = semivox.write_generated_scans(tmp_path / "scans", scans=2, shape=[16, 12], channels=3, seed=5)
    cohort = load_cohort(made)
    assert tuple(cohort.classes.values()) == KINDS
    assert cohort.channels == ("red", "green", "blue")
    for number, case in enumerate(cohort.cases):
        scan = make_scan(Recipe(5, (16, 12), channels=3), number)
        np.testing.assert_array_equal(read_case(case).array, np.rint(scan.image * 255))
        np.testing.assert_array_equal(read_label(case.label).array[0], scan.label)


def test_spacing_is_kept(tmp_path: Path) -> None:
    made = semivox.write_generated_scans(tmp_path / "scans", scans=1, shape=(12, 12, 6), spacing=[1, 1, 5])
    assert read_case(load_cohort(made).cases[0]).spacing_mm == (1, 1, 5)


@pytest.mark.parametrize(
    "given", [{"scans": 0}, {"workers": 0}, {"channels": 0}, {"shape": (12,)}, {"spacing": (1,)}]
)
def test_what_cannot_be_made_leaves_nothing(given: dict[str, object], tmp_path: Path) -> None:
    asked = {"scans": 1, "shape": (12, 12), **given}
    with pytest.raises(SettingsError):
        semivox.write_generated_scans(tmp_path / "scans", **asked)
    assert list(tmp_path.iterdir()) == []
