from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from semivox.errors import DataError
from semivox.report.comparison_record import display_names, read_comparison, read_results

HandMade = Callable[..., Path]


def content_of(folder: Path) -> dict:
    return json.loads((folder / "comparison.json").read_text())


def test_rows_hold_what_the_file_holds(hand_made: HandMade) -> None:
    folder = hand_made(
        ["supervised", "cps", "simcvd{contrast=0}"], seeds=(0, 1), classes=("a", "b"), memory=1.5
    )
    content, record = content_of(folder), read_comparison(folder)
    assert record.results == read_results(content)
    assert [r.name for r in record.results] == ["supervised", "cps", "simcvd{contrast=0}"]
    for row, result in zip(content["results"], record.results, strict=True):
        for class_ in ("1", "2", "foreground"):
            found = result.of("dice", class_)
            assert found.mean == row["mean"][class_]["dice"]
            assert [found.low, found.high] == row["ci95"][class_]["dice"]
        assert (result.verdict, result.seeds) == (row["verdict"], (0, 1))
        assert (result.worst_case, result.worst_dice) == (row["worst"]["case"], row["worst"]["dice"])
    gain = record.results[1].gain("hd95_mm")
    row = content["results"][1]["difference"]
    assert [gain.mean, gain.low, gain.high] == [
        row["mean"]["foreground"]["hd95_mm"],
        *row["ci95"]["foreground"]["hd95_mm"],
    ]
    assert record.results[1].worse == row["patients_worse"]["foreground"]["dice"] == 6
    assert record.results[0].gain("dice").mean is None
    cost = record.cost("cps")
    assert (cost.steps, cost.seconds, cost.peak_memory_gib) == (101, 51.5, 1.5)
    assert cost.step_seconds == pytest.approx((51 / 101 + 52 / 101) / 2)
    assert (record.distance.name, record.distance.unit) == ("hd95_mm", "mm")


def test_labelled_sets_stand_in_the_order_of_their_numbers_of_cases(hand_made: HandMade) -> None:
    sets = ["16", "3p", "8@1", "8", "names~1234abcd"]
    counts = {"16": 16, "3p": 6, "8@1": 8, "8": 8, "names~1234abcd": 2}
    folder = hand_made(["supervised"], labeled=sets, counts=counts)
    record = read_comparison(folder)
    assert record.labeled == ("names~1234abcd", "3p", "8@1", "8", "16")
    assert record.labeled_cases["3p"] == 6
    for path in folder.rglob("cases.json"):
        path.unlink()
    record = read_comparison(folder)
    assert record.labeled == ("3p", "8@1", "8", "16", "names~1234abcd")  # a number in the name, or last
    assert record.labeled_cases["names~1234abcd"] is None


def test_cases_dice_is_the_mean_over_whole_seeds_of_all_folds(hand_made: HandMade) -> None:
    folds, seeds = ("fold0", "fold1"), (0, 1, 2)
    folder = hand_made(["supervised", "cps"], folds=folds, seeds=seeds, states={(1, "8", "fold1", 2): "free"})
    record = read_comparison(folder)
    for variant, whole in (("supervised", (0, 1, 2)), ("cps", (0, 1))):
        slow: dict[str, list[float]] = {}
        for seed in whole:
            for fold in folds:
                path = folder / f"cells/{variant}/8/{fold}/{seed}/evaluations/{fold}/evaluation.json"
                for case, rows in json.loads(path.read_text())["cases"].items():
                    slow.setdefault(case, []).append(rows["1"]["dice"])
        found = record.case_dice("8", variant)
        assert found.keys() == slow.keys()
        assert found == pytest.approx({case: fmean(values) for case, values in slow.items()})
    assert record.results[1].incomplete == (2,)


def test_cells_that_are_not_finished_say_what_happened(hand_made: HandMade) -> None:
    states = {(1, "8", "test", 0): "failed", (2, "8", "test", 0): "free", (3, "8", "test", 0): "running"}
    folder = hand_made(["supervised", "cps", "bcp", "dtc"], states=states)
    stopped = folder / "cells/bcp/8/test/0"
    stopped.mkdir(parents=True)
    (stopped / "status.json").write_text('{"state": "stopped", "step": 42}')
    cells = read_comparison(folder).cells
    assert [c.state for c in cells] == ["finished", "failed", "free", "running"]
    assert [c.steps for c in cells] == [100, None, 42, None]
    assert cells[1].error == "no <b>memory</b> left"
    assert read_comparison(folder).variants == ("supervised",)


def test_nothing_finished_is_a_record_too(hand_made: HandMade) -> None:
    states = {(m, "8", "test", 0): "free" for m in range(2)}
    record = read_comparison(hand_made(["supervised", "cps"], states=states))
    assert (record.results, record.variants, record.seed_dice) == ((), (), {})
    assert record.names == {"supervised": "supervised", "cps": "cps"}


def test_what_the_disk_no_longer_or_not_yet_says_is_noted(hand_made: HandMade) -> None:
    folder = hand_made(["supervised", "cps", "bcp"], states={(2, "8", "test", 0): "running"})
    (folder / "cells/cps/8/test/0/evaluations/test/evaluation.json").unlink()
    late = folder / "cells/bcp/8/test/0"
    (late / "evaluations/test").mkdir(parents=True)
    (late / "cell.json").write_text("{}")
    (late / "evaluations/test/evaluation.json").write_text("{}")
    notes = read_comparison(folder).notes
    assert len(notes) == 3
    assert notes[1].startswith("1 more cells have finished since")
    assert notes[2].startswith("the evaluation of cps, 8 labelled, test, seed 0 is gone")


def test_other_folders_and_newer_formats_are_refused_by_name(hand_made: HandMade, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"comparison\.json: is missing"):
        read_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text('{"format": 1}')
    with pytest.raises(DataError, match="is no comparison; expected the keys reference, results, cells"):
        read_comparison(tmp_path)
    folder = hand_made(["supervised"])
    content = content_of(folder)
    (folder / "comparison.json").write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(DataError, match=r"comparison\.json: was written by a newer semivox; found format 2"):
        read_comparison(folder)


def test_names_are_short_where_that_tells_them_apart() -> None:
    texts = {"a": "/home/x/mine.py:Mine{a=1}", "b": "cvrl:miccai", "c": "x/other.py:M", "d": "y/other.py:M"}
    assert display_names(texts) == {
        "a": "mine.py:Mine{a=1}",
        "b": "cvrl:miccai",
        "c": "other.py:M (c)",
        "d": "other.py:M (d)",
    }
