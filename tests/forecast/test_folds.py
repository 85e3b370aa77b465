"""Points of the curve as folders of folds hold them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from semivox.errors import DataError
from semivox.forecast import foretell, read_points

from ..made_folds import two_folders


def test_a_point_counts_patients_and_averages_their_scans(tmp_path: Path) -> None:
    (halves, all_but_one), notes = read_points(two_folders(tmp_path))
    assert (halves.patients, halves.runs) == (2, 2)
    assert halves.dice == pytest.approx({"1": 0.5, "2": 0.6, "3": 0.7, "4": 0.6})
    assert (all_but_one.patients, all_but_one.runs) == (3, 4)
    assert notes == []


def test_what_is_told_of_them(tmp_path: Path) -> None:
    points, notes = read_points(two_folders(tmp_path, steps=20))
    assert len(notes) == 1
    assert "10 steps" in notes[0]
    assert "20 steps" in notes[0]
    found, said = foretell(points, 4, 8)
    assert found is not None
    assert said == ()
    assert (found.labeled, found.more) == (4, 8)
    assert found.change > 0
    json.dumps(found.to_json())
    assert foretell([], 4, 8) == (None, ())
    nothing, why = foretell(points, 4, 0)
    assert nothing is None
    assert "one is labelled already" in why[0]
    nothing, why = foretell(points[:1], 4, 8)
    assert nothing is None
    assert "--folds 2" in why[0]


def test_a_folder_without_measured_folds_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train --folds"):
        read_points([tmp_path])
