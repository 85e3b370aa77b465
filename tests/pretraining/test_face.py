"""``semivox.write_generated_scans``: what ``semivox.pretraining`` makes, for a user's own script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semivox
from semivox.cohort import load_cohort, read_case, read_label
from semivox.errors import SettingsError
from semivox.pretraining import KINDS, Recipe, make_scan, scans


def test_a_folder_of_what_make_scan_gives(tmp_path: Path) -> None:
    made = semivox.write_generated_scans(tmp_path / "scans", scans=2, shape=[16, 12], channels=3, seed=5)
    cohort = load_cohort(made)
    assert set(cohort.classes.items()) <= set(enumerate(KINDS, 1))
    assert cohort.channels == ("red", "green", "blue")
    for number, case in enumerate(cohort.cases):
        scan = make_scan(Recipe(5, (16, 12), channels=3), number)
        np.testing.assert_array_equal(read_case(case).array, np.rint(scan.image * 255))
        np.testing.assert_array_equal(read_label(case.label).array[0], scan.label)


def test_spacing_is_kept(tmp_path: Path) -> None:
    made = semivox.write_generated_scans(tmp_path / "scans", scans=1, shape=(12, 12, 6), spacing=[1, 1, 5])
    assert read_case(load_cohort(made).cases[0]).spacing_mm == (1, 1, 5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"scans": 0}, "no such number of scans; found 0; expected a whole number from 1 to 1000000"),
        ({"scans": 2.5}, "no such number of scans; found 2.5"),
        ({"scans": "2"}, "no such number of scans; found '2'"),
        ({"scans": True}, "no such number of scans; found True"),
        ({"scans": 10**12}, "no such number of scans; found 1000000000000"),
        ({"workers": 0}, "no such number of workers; found 0; expected a whole number, 1 or more"),
        ({"workers": None}, "no such number of workers; found None"),
        ({"channels": 0}, "no such number of channels; found 0"),
        ({"channels": 3.0}, "no such number of channels; found 3.0"),
        ({"seed": "a"}, "no such seed; found 'a'; expected a whole number"),
        ({"seed": 1.0}, "no such seed; found 1.0"),
        ({"shape": (12,)}, "no such shape; found (12,); expected 2 or 3 whole numbers, each 4 or more"),
        ({"shape": (3, 12)}, "no such shape; found 3 12"),
        ({"shape": (24.0, 24.5, 12)}, "no such shape; found (24.0, 24.5, 12)"),
        ({"shape": 16}, "no such shape; found 16"),
        ({"shape": "16"}, "no such shape; found '16'"),
        ({"shape": ("16", "16")}, "no such shape; found ('16', '16')"),
        ({"shape": {12: 1, 13: 2}}, "no such shape; found {12"),
        ({"shape": np.array(12)}, "no such shape; found array(12)"),
        ({"shape": (100_000,) * 3}, "larger than the memory that is free for one; found 100000 x 100000"),
        ({"channels": 10**12}, "larger than the memory"),
        ({"shape": (10**30, 12)}, "larger than the memory"),
        ({"spacing": (1,)}, "spacing does not fit the shape; found (1,); expected 2 numbers"),
        ({"spacing": 1.0}, "spacing does not fit the shape; found 1.0"),
        ({"spacing": "11"}, "spacing does not fit the shape; found '11'"),
        ({"spacing": ("1", "1")}, "spacing does not fit the shape; found ('1', '1')"),
        ({"spacing": (1, np.nan)}, "spacing does not fit the shape; found (1, nan)"),
        ({"spacing": (1, 1e300)}, "spacing does not fit the shape; found (1, 1e+300)"),
        ({"spacing": (1e-50, 1e-50)}, "spacing does not fit the shape"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_made_is_refused_before_the_first_scan(
    given: dict[str, object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "make_scan", lambda *_: pytest.fail("a scan was made"))
    asked: dict[str, Any] = {"scans": 1, "shape": (12, 12), **given}
    with pytest.raises(SettingsError, match=re.escape(told)) as error:
        semivox.write_generated_scans(tmp_path / "scans", **asked)
    assert None not in (error.value.found, error.value.expected)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_make_the_same_folder(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"scans": 2, "shape": (12, 10, 6), "spacing": (1.5, 1.5, 4), "channels": 2}
    theirs = {name: np.array(value)[()] for name, value in (plain | {"seed": 3, "workers": 1}).items()}
    one = semivox.write_generated_scans(tmp_path / "one", **plain, seed=3)
    other = semivox.write_generated_scans(tmp_path / "other", **theirs)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 8
    assert [(one / name).read_bytes() == (other / name).read_bytes() for name in files] == [True] * 8


@pytest.mark.parametrize("spacing", [(1e-6, 1e6), (1e6, 1e-6), (1e6, 1e6)])
def test_the_farthest_spacings_are_made(spacing: tuple[float, ...], tmp_path: Path) -> None:
    made = semivox.write_generated_scans(tmp_path / "scans", scans=1, shape=(12, 12), spacing=spacing)
    assert read_case(load_cohort(made).cases[0]).spacing_mm == pytest.approx(spacing)


@pytest.mark.parametrize("shape", [(4, 4), (16, 12), (6, 6, 4)])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_few_small_scans_can_be_trained_on(shape: tuple[int, ...], workers: int, tmp_path: Path) -> None:
    """What no scan shows is no class, and what one shows keeps its value."""
    made = semivox.write_generated_scans(tmp_path / "scans", scans=1, shape=shape, workers=workers)
    cohort = load_cohort(made)
    shown = set(np.unique(read_label(cohort.cases[0].label).array)) - {0}
    assert set(cohort.classes) == shown == set(cohort.may_be_empty)
    assert all(KINDS[value - 1] == name for value, name in cohort.classes.items())
    assert 0 < len(shown) < len(KINDS)
    assert semivox.check(made).findings == ()
