import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from semivox.cohort.folder import load_cohort
from semivox.commands.check import check, render
from semivox.errors import DataError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures, the first two labelled."""
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (8, 9)).astype(np.uint8)).save(
            tmp_path / f"imagesTr/c{i}_0000.png"
        )
    for i in range(2):
        Image.fromarray(np.eye(8, 9, dtype=np.uint8)).save(tmp_path / f"labelsTr/c{i}.png")
    dataset = {"channel_names": {"0": "light"}, "labels": {"background": 0, "cell": 1}, "file_ending": ".png"}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    return tmp_path


def spoil(root: Path, *cases: str) -> None:
    for case in cases:
        (root / f"imagesTr/{case}_0000.png").write_bytes(b"no picture")


def text_of(report) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(render(report))
    return console.export_text()


def test_write_exclude_leaves_out_broken_unlabelled_cases_only(pictures):
    spoil(pictures, "c1", "c3")
    table = 'case;patient;comment\nc3;p3;"a; b"\nc0;p0;x\nc1;p1;\nc2;p2;ünïcode\n'
    (pictures / "cases.csv").write_text(table, encoding="utf-8")
    assert len(check(pictures).errors) == 2
    assert (pictures / "cases.csv").read_text(encoding="utf-8") == table  # only when asked
    report = check(pictures, write_exclude=True)
    assert report.excluded == ("c3",)
    assert [f.case for f in report.errors] == ["c1"]
    assert [(f.case, f.remedy) for f in report.warnings] == [("c3", "left out: use=no is now in cases.csv")]
    assert (pictures / "cases.csv").read_text(encoding="utf-8") == (
        'case;patient;comment;use\nc3;p3;"a; b";no\nc0;p0;x;\nc1;p1;;\nc2;p2;ünïcode;\n'
    )
    assert [f.case for f in check(pictures).findings] == ["c1"]
    assert sorted(p.name for p in pictures.iterdir()) == ["cases.csv", "dataset.json", "imagesTr", "labelsTr"]


def test_write_exclude_keeps_the_order_where_there_was_no_table(pictures):
    spoil(pictures, "c2")
    before = [c.name for c in load_cohort(pictures).cases]
    assert check(pictures, write_exclude=True).ok
    assert [c.name for c in load_cohort(pictures).cases] == [n for n in before if n != "c2"]
    assert check(pictures).findings == ()


def test_write_exclude_of_an_unlisted_case_and_an_existing_column(pictures):
    spoil(pictures, "c3")
    (pictures / "cases.csv").write_text("case,use,patient\nc0,yes,a\nc1\nc2,,b\n")
    check(pictures, write_exclude=True)
    assert (pictures / "cases.csv").read_text() == "case,use,patient\nc0,yes,a\nc1\nc2,,b\nc3,no,\n"


def test_write_exclude_writes_nothing_where_nothing_is_broken(pictures):
    assert check(pictures, write_exclude=True).excluded == ()
    assert not (pictures / "cases.csv").exists()


def test_a_labelled_case_with_role_unlabeled_counts_as_unlabelled(pictures):
    spoil(pictures, "c1", "c3")
    (pictures / "cases.csv").write_text("case,role\nc0,\nc1,unlabeled\nc2,\nc3,test\n")
    report = check(pictures, write_exclude=True)
    assert report.excluded == ("c1",)
    assert [f.case for f in report.errors] == ["c3"]


def test_it_raises_where_there_is_no_data_folder_and_never_prints(tmp_path, pictures, capsys):
    with pytest.raises(DataError, match="not a data folder"):
        check(tmp_path / "labelsTr")
    check(pictures)
    assert capsys.readouterr().out == ""


def test_the_rendered_report(pictures):
    assert "ready for training, 0 warnings" in text_of(check(pictures))
    spoil(pictures, "c1")
    Image.fromarray(np.full((8, 9), 7, np.uint8)).save(pictures / "labelsTr/c0.png")
    text = text_of(check(pictures))
    for part in (
        "4 cases, 2 labelled, 2D",
        "imagesTr/c1_0000.png",
        "7 (72 voxels)",
        "2 errors (training refuses), 1 warning\n",
        "copy or export",
    ):
        assert part in text
    assert str(pictures / "imagesTr") not in text  # paths inside the folder are short


def test_many_findings_of_a_kind_are_named_in_one_row(pictures):
    for i in range(10, 30):
        (pictures / f"imagesTr/c{i}_0000.png").write_bytes(b"no picture")
    report = check(pictures)
    text = text_of(report)
    assert len(report.errors) == 20
    assert "15 more like this" in text
    assert "c29" in text
    assert text.count("unreadable or truncated") == 5


def test_names_with_brackets_are_no_markup(pictures):
    spoil(pictures, "c3")
    (pictures / "imagesTr/c3_0000.png").rename(pictures / "imagesTr/[red]c3_0000.png")
    assert "[red]c3" in text_of(check(pictures))
