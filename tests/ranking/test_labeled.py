"""Which cases of a folder a run knows the labels of: by content, by name, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from semivox.cohort import Cohort, load_cohort, sha256_file
from semivox.ranking.labeled import labeled_cases


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four grey pictures a, b, c, d; a and b are one patient."""
    folder = tmp_path / "data"
    (folder / "imagesTr").mkdir(parents=True)
    for i, name in enumerate("abcd"):
        Image.new("L", (6, 5), 10 * i + 1).save(folder / f"imagesTr/{name}_0000.png")
    (folder / "cases.csv").write_text("case,patient\na,p\nb,p\n")
    described = {
        "channel_names": {"0": "light"},
        "labels": {"background": 0, "cell": 1},
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def run_with(folder: Path, **labeled: str) -> Path:
    """A run whose labelled cases have these names and hashes; ``z`` is unlabelled in it."""
    rows = [{"case": n, "patient": n, "role": "labeled", "sha256": h} for n, h in labeled.items()]
    rows.append({"case": "z", "patient": "z", "role": "unlabeled", "sha256": "1"})
    folder.mkdir(exist_ok=True)
    (folder / "cases.json").write_text(json.dumps({"format": 1, "cases": rows}))
    return folder


def content(data: Path, name: str) -> str:
    return sha256_file(data / f"imagesTr/{name}_0000.png")


def names(cohort: Cohort, run: Path) -> list[str]:
    return [case.name for case in labeled_cases(run, cohort).cases]


def test_by_name_and_content(data: Path, tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", c=content(data, "c"), a=content(data, "a"))
    found = labeled_cases(run, load_cohort(data))
    assert [case.name for case in found.cases] == ["a", "c"]
    assert (found.absent, found.notes) == ((), ())
    assert found.patients == {"c", "p"}  # a is of patient p now, and counts once


def test_a_renamed_scan_is_found_by_its_content(data: Path, tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", old_name=content(data, "b"))
    found = labeled_cases(run, load_cohort(data))
    assert [case.name for case in found.cases] == ["b"]
    assert (found.absent, found.notes) == ((), ())


def test_content_goes_before_the_name(data: Path, tmp_path: Path) -> None:
    """The scan that was ``a`` is called ``d`` now, and another one took its name."""
    run = run_with(tmp_path / "run", a=content(data, "d"))
    assert names(load_cohort(data), run) == ["d"]


def test_a_changed_file_counts_by_its_name_and_that_is_said(data: Path, tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", a="0" * 64)
    found = labeled_cases(run, load_cohort(data))
    assert [case.name for case in found.cases] == ["a"]
    assert found.notes == ("a is not the run's file, but counts as labelled by its name",)


def test_what_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", gone="0" * 64, a=content(data, "a"))
    found = labeled_cases(run, load_cohort(data))
    assert ([case.name for case in found.cases], found.absent) == (["a"], ("gone",))
    (run / "cases.json").unlink()
    nothing = labeled_cases(run, load_cohort(data))
    assert nothing.cases == ()
    assert "cases.json" in nothing.notes[0]


def test_a_file_that_cannot_be_read_does_not_stop_the_search(data: Path, tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", old=content(data, "d"))
    cohort = load_cohort(data)
    (data / "imagesTr/a_0000.png").unlink()
    assert names(cohort, run) == ["d"]


@pytest.mark.parametrize("field", ["patient", "sha256"])
@pytest.mark.parametrize("as_null", [False, True])
def test_a_row_need_not_hold_what_is_no_part_of_its_name(
    data: Path, tmp_path: Path, field: str, as_null: bool
) -> None:
    run = run_with(tmp_path / "run", c=content(data, "c"), b=content(data, "b"))
    record = json.loads((run / "cases.json").read_text())
    for row in record["cases"]:
        row |= {field: None}
        if not as_null:
            del row[field]
    (run / "cases.json").write_text(json.dumps(record))
    found = labeled_cases(run, load_cohort(data))
    assert [case.name for case in found.cases] == ["b", "c"]
    assert found.patients == {"c", "p"}
