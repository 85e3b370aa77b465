"""The first scans: against the slow greedy maximum, typical and diverse, and no label is read."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

import semivox
from semivox.cli import main
from semivox.cohort import Volume, load_cohort, read_volume, write_volume
from semivox.errors import DataError, SettingsError
from semivox.ranking.first_scans import numbers_of, points_of, rank_first

RNG = np.random.default_rng(0)


def scans(points: np.ndarray, prefix: str = "s") -> dict[str, dict[str, np.ndarray]]:
    return {f"{prefix}{i:02d}": {"one": point[:1], "two": point[1:]} for i, point in enumerate(points)}


def slow(numbers, labeled, patients, top):
    """From the definition, scan by scan."""
    points = points_of({**numbers, **labeled})
    everyone, names = sorted(points), sorted(numbers)
    apart = {(a, b): float(np.linalg.norm(points[a] - points[b])) for a in everyone for b in everyone}
    usual = np.median([apart[a, b] for i, a in enumerate(everyone) for b in everyone[i + 1 :]])

    def value(chosen):
        return sum(
            max((np.exp(-((apart[i, j] / usual) ** 2) / 2) for j in chosen), default=0.0) for i in everyone
        )

    chosen = []
    while len(chosen) < top:
        had = [patients[name] for name in (*chosen, *labeled)]
        left = [name for name in names if name not in chosen]
        fewest = min(had.count(patients[name]) for name in left)
        left = [name for name in left if had.count(patients[name]) == fewest]
        chosen.append(max(left, key=lambda name: value([*labeled, *chosen, name])))
    return chosen


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("patients", [20, 4])
def test_the_choice_is_the_greedy_maximum(known: int, patients: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        numbers, labeled = scans(rng.normal(size=(12, 3))), scans(rng.normal(size=(known, 3)), "x")
        of = {name: f"p{int(rng.integers(patients))}" for name in (*numbers, *labeled)}
        rows = rank_first(numbers, labeled, of, 5)
        assert [row.case for row in rows if row.chosen] == slow(numbers, labeled, of, 5)
        assert [row.rank for row in rows] == list(range(1, 13))
        shuffled = dict(reversed(numbers.items()))
        assert rank_first(shuffled, labeled, of, 5) == rows


def test_of_three_kinds_one_each_is_chosen_and_an_odd_scan_is_not() -> None:
    kinds = np.concatenate([RNG.normal(centre, 0.1, (8, 3)) for centre in (0.0, 4.0, 8.0)])
    numbers = scans(np.concatenate([kinds, [[-30.0, 30.0, -30.0]]]))
    rows = rank_first(numbers, {}, {name: name for name in numbers}, 3)
    chosen = sorted(int(row.case[1:]) // 8 for row in rows if row.chosen)
    assert chosen == [0, 1, 2]
    counts = [int(row.reason.split(" to ")[1].split()[0]) for row in rows if row.chosen]
    assert sum(counts) == len(numbers)


def test_equal_scans_and_one_scan_are_chosen_by_name() -> None:
    same = scans(np.ones((4, 3)))
    rows = rank_first(same, {}, {name: name for name in same}, 2)
    assert [row.case for row in rows if row.chosen] == ["s00", "s01"]
    (row,) = rank_first(scans(np.ones((1, 3))), {}, {"s00": "s00"}, 1)
    assert (row.chosen, row.nearest) == (1, None)


def test_how_a_scan_lies_in_its_file_does_not_count() -> None:
    array = RNG.normal(size=(1, 20, 18, 16))
    array[:, :10] += 3
    turned = np.ascontiguousarray(array[:, ::-1].transpose(0, 3, 1, 2))
    affine = np.eye(4)[:, [2, 0, 1, 3]] * np.array([1, -1, 1, 1])
    one, other = numbers_of(Volume(array, np.eye(4)), ["mri"]), numbers_of(Volume(turned, affine), ["mri"])
    for kind in one:
        np.testing.assert_allclose(one[kind], other[kind], atol=0.05, err_msg=kind)


def test_a_folder_without_a_run_is_ranked_and_no_label_is_opened(
    phantoms: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(phantoms[0], tmp_path / "data", ignore=shutil.ignore_patterns(".semivox")))
    for label in (data / "labelsTr").iterdir():
        label.write_bytes(b"no label")
    labeled = [case.name for case in load_cohort(data).cases if case.label is not None]
    assert main(["rank", str(data), "--top", "2", "--out", str(tmp_path / "first")]) == 0
    shown = capsys.readouterr().out
    assert f"semivox train {data} --labeled" in " ".join(shown.split())
    assert "3 scans ranked; tables in" in shown  # no picture is drawn
    assert {path.suffix for path in (tmp_path / "first").iterdir()} == {".csv", ".json", ".txt"}
    with (tmp_path / "first/ranking.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 3
    assert not {row["case"] for row in table} & set(labeled)
    assert [row["chosen"] for row in table] == ["1", "2", ""]
    ranking = semivox.rank(data, top=2, out=tmp_path / "again")
    assert [row.case for row in ranking.chosen] == [row["case"] for row in table[:2]]
    listed = (tmp_path / "first/next_labeled.txt").read_text().split()
    assert set(labeled) < set(listed)


def test_what_needs_a_run_is_refused_without_one(phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"give --out DIR"):
        semivox.rank(phantoms[0])
    with pytest.raises(SettingsError, match="slices need a run"):
        semivox.rank(phantoms[0], slices=3, out=tmp_path / "first")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("whose", ["labelled", "unlabelled"])
def test_a_scan_that_is_not_finite_is_listed_and_the_others_are_chosen_as_without_it(
    phantoms: tuple[Path, Path], tmp_path: Path, broken: float, whose: str
) -> None:
    data = Path(shutil.copytree(phantoms[0], tmp_path / "data", ignore=shutil.ignore_patterns(".semivox")))
    cases = load_cohort(data).cases
    case = next(case for case in cases if (case.label is not None) == (whose == "labelled"))
    (data / "cases.csv").write_text(f"case,use\n{case.name},no\n")
    expected = [row.case for row in semivox.rank(data, top=2, out=tmp_path / "without").scans]
    (data / "cases.csv").unlink()
    volume = read_volume(case.images[0])
    array = volume.array.astype(np.float32)
    array[0, 0] = broken
    write_volume(case.images[0], array, like=volume)
    ranking = semivox.rank(data, top=2, out=tmp_path / "with")
    assert "NaN or infinity" in ranking.failed[case.name]
    assert [row.case for row in ranking.scans] == expected
    with pytest.raises(DataError, match="NaN or infinity"):
        semivox.scan_features(case.images[0])
