"""A format is a row and a module, and nothing else has to change for a new one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from semivox.cohort import format_table
from semivox.cohort.format_table import BY_NAME, CHOICES, DETACHED, ENDINGS, FORMATS, WRITABLE, Format
from semivox.cohort.formats import (
    ending_of,
    read_geometry,
    read_label,
    read_note,
    read_volume,
    write_mask,
    write_volume,
)
from semivox.cohort.volume import Volume
from semivox.commands.check import check
from semivox.commands.plan import plan

RNG = np.random.default_rng(3)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-format.md"


def test_the_rows_do_not_contradict_each_other() -> None:
    assert len(BY_NAME) == len(FORMATS)
    endings = [ending for row in FORMATS for ending in row.endings]
    assert len(endings) == len(set(endings)) == len(ENDINGS)
    for ending in endings:
        assert ending.startswith(".")
        assert ending == ending.lower()
        assert ending_of("scan" + ending.upper()) == ending
    for row in FORMATS:
        assert set(row.detached) <= set(row.endings)
        assert set(row.detached.values()) <= set(row.endings) - set(row.detached)
        assert all(CHOICES[choice] in row.endings for choice in row.choices)
        assert row.instead is None or row.instead in BY_NAME
    assert set(DETACHED) == {".nhdr", ".mhd", ".hdr"}
    assert WRITABLE == ("same", "nii.gz", "nrrd", "seg.nrrd", "mha", "dicom-seg", "rtstruct")


# DICOM segmentations and structure sets are written of a DICOM scan alone, see tests/dicom
OF_ANY = [row for row in FORMATS if row.name not in ("dicom-seg", "rtstruct")]


@pytest.mark.parametrize("row", OF_ANY, ids=lambda row: row.name)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_row_writes_what_it_reads(tmp_path: Path, row: Format, dims: int) -> None:
    mask = RNG.integers(0, 5, (9, 8, 7)[:dims]).astype(np.uint8)
    like = Volume(mask[None], np.eye(4))
    path = write_mask(tmp_path / f"a{row.endings[0]}", mask, like, note="words")
    assert path.suffix == Path("a" + row.endings[0]).suffix or not row.codec.holds(mask[None])
    back, header = read_label(path), read_geometry(path, label=True)
    np.testing.assert_array_equal(back.array[0], mask)
    assert (header.shape, header.channels, header.dtype) == (mask.shape, 1, mask.dtype)
    np.testing.assert_array_equal(header.affine, back.affine)
    assert "words" in read_note(path)
    if row.codec.holds(mask[None]):
        assert back.source.format == row.name


@pytest.fixture
def npz(monkeypatch: pytest.MonkeyPatch) -> Format:
    """The format of the page "Add a format", in the table for a while."""
    module, row = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    made = ModuleType("semivox.cohort.npz")
    exec(module, made.__dict__)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    known: dict[str, Any] = {"Format": Format}
    added = eval(row, known)
    assert isinstance(added, Format)
    monkeypatch.setattr(format_table, "FORMATS", (*FORMATS, added))
    monkeypatch.setitem(BY_NAME, added.name, added)
    for ending in added.endings:
        monkeypatch.setitem(ENDINGS, ending, added)
    return added


def test_a_row_and_a_module_are_a_format(tmp_path: Path, npz: Format) -> None:
    for sub in ("imagesTr", "labelsTr"):
        (tmp_path / sub).mkdir()
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "ball": 1}, "file_ending": ".npz"}), encoding="utf-8"
    )
    affine = np.diag([0.5, 0.5, 2, 1])
    for case in "ab":
        mask = np.zeros((20, 21, 12), np.uint8)
        mask[4:9, 4:9, 3:8] = 1
        scan = Volume((mask * 50 + RNG.normal(0, 5, mask.shape)).astype(np.float32)[None], affine)
        write_volume(tmp_path / f"imagesTr/{case}_0000.npz", scan.array, scan)
        write_mask(tmp_path / f"labelsTr/{case}.npz", mask, scan, note="by hand")
    assert check(tmp_path).findings == ()
    assert plan(tmp_path).native_spacing == (0.5, 0.5, 2.0)
    read = read_volume(tmp_path / "imagesTr/a_0000.npz")
    assert read.source.format == npz.name
    assert read_note(tmp_path / "labelsTr/a.npz") == "by hand"
    two = np.zeros((2, *read.shape), np.float32)
    assert write_volume(tmp_path / "p", two, read).name == "p.nii.gz"  # npz holds one channel
