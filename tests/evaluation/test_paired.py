"""Paired differences: what pairing, patients and seeds do to the interval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semivox.errors import DataError, SettingsError
from semivox.evaluation import METRICS, paired_difference
from semivox.randomness import Key


def evaluation(dice, patients=None, classes=("1",), **policy):
    """An evaluation file with Dice (cases, classes); None leaves a number out."""
    dice = [row if isinstance(row, list | tuple) else [row] for row in dice]
    names = [f"case{i:03d}" for i in range(len(dice))]
    cases = {
        name: {c: {**dict.fromkeys(METRICS), "dice": value} for c, value in zip(classes, row, strict=True)}
        for name, row in zip(names, dice, strict=True)
    }
    return {
        "format": 1,
        "cases": cases,
        "classes": {c: f"class_{c}" for c in classes},
        "patients": dict(zip(names, patients or names, strict=True)),
        "policy": {"name": "default", "tolerance_mm": 2.0, **policy},
    }


def test_mean_and_interval_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    level = rng.uniform(0.5, 0.9, 60)
    a, b = level + 0.02 + rng.normal(0, 0.01, 60), level
    found = paired_difference(evaluation(a.tolist()), evaluation(b.tolist()))
    assert found["mean"] == pytest.approx((a - b).mean())
    assert (found["mean_a"], found["mean_b"]) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
    assert (found["n"], found["patients"], found["seeds"]) == (60, 60, 1)
    half = 1.96 * (a - b).std() / np.sqrt(60)
    np.testing.assert_allclose(np.subtract(found["ci95"], found["mean"]), [-half, half], atol=0.1 * half)
    # Pairing takes the spread between cases out, which is ten times that of the differences.
    assert found["ci95"][0] > 0
    swapped = paired_difference(evaluation(b.tolist()), evaluation(a.tolist()))
    np.testing.assert_allclose(swapped["ci95"], [-found["ci95"][1], -found["ci95"][0]])


def test_patients_are_resampled_together() -> None:
    difference = np.repeat(np.linspace(-0.1, 0.1, 8), 4)
    a, b = (0.5 + difference).tolist(), [0.5] * 32
    patients = [str(i // 4) for i in range(32)]
    grouped = paired_difference(evaluation(a, patients), evaluation(b, patients))
    single = paired_difference(evaluation(a), evaluation(b))
    assert grouped["patients"] == 8
    assert np.ptp(grouped["ci95"]) / np.ptp(single["ci95"]) == pytest.approx(2.0, rel=0.1)
    assert paired_difference(evaluation(a, ["x"] * 32), evaluation(b, ["x"] * 32))["ci95"] is None


def test_equals_a_slow_bootstrap_over_patients_and_seeds() -> None:
    rng = np.random.default_rng(5)
    patients = ["x", "y", "y", "z", "x", "x", "w"]
    values = rng.random((2, 3, 7))  # (A or B, seeds, cases)
    a, b = ([evaluation(seed.tolist(), patients) for seed in arm] for arm in values)
    key = Key(2) / "test"
    found = paired_difference(a, b, resamples=300, key=key)
    names = ["x", "y", "z", "w"]
    of_patients = (key / "patients" / 0).numpy().integers(4, size=(300, 4))
    of_seeds = (key / "seeds" / 0).numpy().integers(3, size=(300, 3))
    statistics = [
        np.mean(
            [
                values[0, seed, case] - values[1, seed, case]
                for seed in seeds
                for i in drawn
                for case in range(7)
                if patients[case] == names[i]
            ]
        )
        for drawn, seeds in zip(of_patients, of_seeds, strict=True)
    ]
    assert found["mean"] == pytest.approx((values[0] - values[1]).mean())
    np.testing.assert_allclose(found["ci95"], np.percentile(statistics, [2.5, 97.5]), rtol=1e-10)


def test_seeds_are_averaged_and_resampled() -> None:
    b = [evaluation([0.5] * 10)] * 4
    shifts = [0.00, 0.02, 0.04, 0.06]  # every case alike: all the spread is between seeds
    a = [evaluation([0.5 + s] * 10) for s in shifts]
    found = paired_difference(a, b)
    assert found["seeds"] == 4
    assert found["mean"] == pytest.approx(0.03)
    half = 1.96 * np.std(shifts) / 2
    np.testing.assert_allclose(np.subtract(found["ci95"], 0.03), [-half, half], atol=0.15 * half)
    one = paired_difference(a[2], b[2])
    np.testing.assert_allclose(one["ci95"], [0.04, 0.04])


def test_foreground_is_the_mean_over_a_cases_classes() -> None:
    a = evaluation([[0.8, 0.6], [0.9, None]], classes=("1", "2"))
    b = evaluation([[0.7, 0.6], [0.8, 0.4]], classes=("1", "2"))
    assert paired_difference(a, b)["mean"] == pytest.approx((0.05 + (0.9 - 0.6)) / 2)
    second = paired_difference(a, b, class_="2")  # case 1 has no number in a: left out
    assert (second["mean"], second["n"]) == (pytest.approx(0.0), 1)


def test_order_of_cases_does_not_matter() -> None:
    values = np.random.default_rng(1).random((2, 12))
    a, b = evaluation(values[0].tolist()), evaluation(values[1].tolist())
    turned = {**b, "cases": dict(reversed(b["cases"].items()))}
    assert paired_difference(a, turned) == paired_difference(a, b)


def test_what_cannot_be_paired_is_refused() -> None:
    a, b = evaluation([0.5, 0.6]), evaluation([0.5, 0.6, 0.7])
    with pytest.raises(DataError, match="case002"):
        paired_difference(a, b)
    with pytest.raises(DataError, match="patients"):
        paired_difference(a, evaluation([0.5, 0.6], ["x", "x"]))
    with pytest.raises(DataError, match=r"different classes; found .*class_1.* and .*class_2"):
        paired_difference(a, evaluation([[0.5, 0.6], [0.6, 0.5]], classes=("1", "2")))
    with pytest.raises(DataError, match="different classes"):
        paired_difference(a, {**a, "classes": {"1": "another"}})
    with pytest.raises(DataError, match=r"different regions; found none and .*\[1, 2\]"):
        paired_difference(a, {**a, "regions": {"1": [1, 2]}})
    with pytest.raises(DataError, match="polic"):
        paired_difference(a, evaluation([0.5, 0.6], name="literature"))
    with pytest.raises(DataError, match="no such class"):
        paired_difference(a, a, class_="7")
    with pytest.raises(SettingsError, match="unknown metric"):
        paired_difference(a, a, metric="f1")
    with pytest.raises(DataError, match="no case has hd95_mm"):
        paired_difference(a, a, metric="hd95_mm")
    with pytest.raises(DataError, match="same number"):
        paired_difference([a, a], [a])


def written(path: Path, content: dict[str, Any]) -> Path:
    """As ``evaluate`` writes it, with what is read back and not compared."""
    table = {key: {"dice": 0.5} for key in (*content["classes"], "foreground")}
    path.write_text(json.dumps({**content, "mean": table, "ci95": {key: {"dice": None} for key in table}}))
    return path


def test_paths_are_read(tmp_path: Path) -> None:
    a, b = evaluation([0.5, 0.6, 0.9]), evaluation([0.4, 0.6, 0.7])
    one, two = written(tmp_path / "a.json", a), written(tmp_path / "b.json", b)
    expected = paired_difference(a, b)
    assert paired_difference(one, str(two)) == paired_difference(one, b) == expected
    assert paired_difference([one, a], (b, str(two))) == paired_difference([a, a], [b, b])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"mean": {}}, "evaluation_b: cases is not as semivox writes it; found nothing"),
        ({"cases": {}}, "evaluation_b: classes is not as semivox writes it; found nothing"),
        ({"cases": {"a": 0.5}, "classes": {}}, r"evaluation_b: cases\.a is not as .* found 0\.5"),
        ([{"dice": 0.5}], r"evaluation_b\[0\]: cases is not"),
        (3, "evaluation_b is no evaluation; found int; expected the path"),
        (None, "evaluation_b is no evaluation; found NoneType"),
        ([[]], r"evaluation_b\[0\] is no evaluation; found list"),
        ("absent.json", "absent.json"),
        ([Path("absent.json")], "absent.json"),
    ],
)
def test_what_is_no_evaluation(given: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        paired_difference(evaluation([0.5]), given)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"run\.json: is no evaluation file"):
        paired_difference(evaluation([0.5]), tmp_path / "run.json")


def test_an_evaluation_that_tells_no_policy() -> None:
    bare = {key: value for key, value in evaluation([0.5]).items() if key != "policy"}
    assert paired_difference(bare, bare)["mean"] == 0
    with pytest.raises(DataError, match=r"different policies \(tolerance_mm\); found None and 2\.0"):
        paired_difference(bare, evaluation([0.5]))
