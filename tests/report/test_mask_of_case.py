"""Whose mask a file is: the case's alone, not that of a case whose name begins as its does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from semivox.report.held_out import section_of
from semivox.report.masks import mask_figure
from semivox.report.run_pictures import pictures_of
from semivox.report.run_record import read_run

MakeRun = Callable[..., Path]
NAMES = ("scan1", "scan1.2", "a[1]", "b*", "1.2.840")


@pytest.fixture
def renamed(held_out_phantoms: Path, tmp_path: Path) -> Path:
    """Five of the phantoms under names that continue each other, or that a shell would take for patterns."""
    return with_names(held_out_phantoms, tmp_path / "renamed", NAMES)


def with_names(data: Path, folder: Path, names: tuple[str, ...]) -> Path:
    for inner, channel in (("imagesTr", "_0000"), ("labelsTr", "")):
        (folder / inner).mkdir(parents=True)
        files = sorted((data / inner).iterdir())
        for path, name in zip(files, names, strict=False):
            shutil.copy(path, folder / inner / f"{name}{channel}.nii.gz")
    shutil.copy(data / "dataset.json", folder / "dataset.json")
    return folder


def spoil_those_of_others(masks: Path, case: str) -> None:
    """Leave the case's mask alone; no other can be read."""
    for path in masks.glob("*.nii.gz"):
        if path.name != f"{case}.nii.gz":
            path.write_bytes(b"another case's")
    for name in (f"{case}.1.nii.gz", f"{case}-2.nii.gz", "a1.nii.gz", "bb.nii.gz", f"{case}.json"):
        (masks / name).write_bytes(b"another case's")


@pytest.mark.parametrize("case", NAMES)
def test_a_figure_of_masks_shows_the_case_s_own(
    case: str, renamed: Path, held_out_phantoms: Path, tmp_path: Path
) -> None:
    data = with_names(held_out_phantoms, tmp_path / "one", (case,))
    masks = Path(shutil.copytree(renamed / "labelsTr", tmp_path / "masks"))
    spoil_those_of_others(masks, case)
    assert mask_figure(data, {"m": masks}, tmp_path / "out.png").is_file()


@pytest.mark.parametrize("case", NAMES)
def test_a_run_s_page_shows_the_case_s_own(
    case: str, renamed: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", renamed)
    spoil_those_of_others(run / "evaluations/test/masks", case)
    record = read_run(run)
    (held,) = record.evaluations
    for row in held.rows.values():
        row.pop("mask")  # type: ignore[attr-defined]
    pictures = pictures_of(held, section_of(held, record.card), 100_000)
    assert [picture.shown.case for picture in pictures.cases] == [case]
