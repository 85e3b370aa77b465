"""A page shows the cases of the data folder as it is: one that was taken out since is left out, and told."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from semivox.cohort import load_cohort
from semivox.evaluation import evaluate_folders
from semivox.report.absent_cases import without_absent
from semivox.report.held_out import section_of
from semivox.report.run_page import write_run_page
from semivox.report.run_record import HeldOut, RunRecord, read_run

MakeRun = Callable[..., Path]


@pytest.fixture
def data(held_out_phantoms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(held_out_phantoms, tmp_path / "data"))


@pytest.fixture
def run(make_run: MakeRun, data: Path, tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", data)


def names(data: Path) -> list[str]:
    return [case.name for case in load_cohort(data).cases]


def removed(data: Path, case: str) -> None:
    (data / "imagesTr" / f"{case}_0000.nii.gz").unlink()
    (data / "labelsTr" / f"{case}.nii.gz").unlink(missing_ok=True)
    table = data / "cases.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if not line.startswith(f"{case},")))


def out_of_use(data: Path, case: str) -> None:
    (data / "cases.csv").write_text(f"case,use\n{case},no\n")


def measured_again(run: Path, data: Path) -> RunRecord:
    """As ``report RUN --test DATA`` leaves it: measured anew, and the record of all that was predicted."""
    folder = run / "evaluations" / "test"
    (folder / "evaluation.json").write_text(json.dumps(evaluate_folders(folder / "masks", data)))
    return read_run(run)


def held_out(record: RunRecord) -> HeldOut:
    (held,) = record.evaluations
    return held


@pytest.mark.parametrize("take", [removed, out_of_use])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_case_that_was_taken_out_is_on_no_list_and_told_once(
    take: Callable[[Path, str], None], labelled: bool, run: Path, data: Path, tmp_path: Path
) -> None:
    gone, *others = names(data)  # the first: it is the one to review
    if not labelled:
        (data / "labelsTr" / f"{gone}.nii.gz").unlink()
    take(data, gone)
    record = measured_again(run, data)
    held = without_absent(held_out(record))
    section = section_of(held, record.card)
    assert section.cases is not None
    assert sorted(row["case"] for row in section.cases["rows"]) == others
    assert section.review == []
    address = dict(section.downloads)["cases.csv"]
    table = csv.DictReader(unquote(address.partition(",")[2]).splitlines())
    assert sorted({row["case"] for row in table}) == others  # a row a case and class
    (told,) = [note for note in section.notes if gone in note]
    assert "1 prediction" in told
    page = write_run_page(record, tmp_path / "page.html").read_text()
    assert page.count(gone) == 1
    assert "without a reference" not in page
    assert (run / "evaluations/test/masks" / f"{gone}.nii.gz").is_file()  # nothing is deleted


def test_without_references_the_lead_counts_those_that_are_there(run: Path, data: Path) -> None:
    removed(data, names(data)[2])
    held = replace(held_out(read_run(run)), content=None)
    assert section_of(without_absent(held), None).lead.startswith("7 cases of ")


def test_that_a_case_was_trained_on_says_nothing_once_it_is_gone(run: Path, data: Path) -> None:
    gone, kept = names(data)[:2]
    removed(data, gone)
    held = replace(held_out(measured_again(run, data)), trained_on=(gone,), seen=(gone, kept))
    found = without_absent(held)
    assert (found.trained_on, found.seen, found.absent) == ((), (kept,), (gone,))


def test_all_stays_where_nothing_is_gone_or_nobody_can_tell(run: Path, data: Path) -> None:
    (data / "labelsTr" / f"{names(data)[0]}.nii.gz").unlink()
    held = held_out(measured_again(run, data))
    assert without_absent(held) == held
    one = names(data)[1]
    removed(data, one)
    still = held_out(read_run(run))  # not measured again: the means are of all eight, and so is the page
    assert one in without_absent(still).rows
    shutil.rmtree(data)
    assert without_absent(still) == still
    assert without_absent(replace(still, data=None)) == replace(still, data=None)
