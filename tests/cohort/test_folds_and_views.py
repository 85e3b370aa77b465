"""Folds cut no patient, and a view is the same cases without their files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from semivox.cohort import Case, Cohort, Split, Volume, load_cohort, split_cohort, write_volume
from semivox.cohort.folds import cut_folds, without_patients
from semivox.cohort.formats import write_mask
from semivox.cohort.subset_folder import write_subset_folder
from semivox.errors import DataError, SettingsError
from semivox.randomness import Key


def cases_of(*sizes: int) -> list[Case]:
    """Patient p has ``sizes[p]`` cases; the patients' cases are mixed."""
    cases = [Case(f"c{p}_{i}", (Path("x"),), patient=f"p{p}") for p, n in enumerate(sizes) for i in range(n)]
    return [cases[i] for i in np.random.default_rng(0).permutation(len(cases))]


@pytest.mark.parametrize("sizes", [(1,) * 10, (2, 2, 2, 2), (5, 1, 1, 1, 1, 1), (3, 3, 2, 2, 1, 1, 1)])
@pytest.mark.parametrize("folds", [2, 3, 4])
def test_folds_hold_every_case_once_and_whole_patients(sizes: tuple[int, ...], folds: int) -> None:
    cases = cases_of(*sizes)
    parts = cut_folds(cases, folds)
    assert sorted(c.name for part in parts for c in part) == sorted(c.name for c in cases)
    patients = [{c.patient for c in part} for part in parts]
    assert sum(map(len, patients)) == len(sizes)
    assert all(part == tuple(c for c in cases if c in part) for part in parts)  # in cohort order
    # no fold could give a patient away and be balanced better
    assert max(map(len, parts)) - min(map(len, parts)) <= max(sizes)
    assert all(parts)


def test_folds_are_keyed() -> None:
    cases = cases_of(*(1,) * 12)
    assert cut_folds(cases, 3) == cut_folds(cases, 3)
    assert cut_folds(cases, 3) != cut_folds(cases, 3, Key(1))
    names = [[c.name for c in part] for part in cut_folds(sorted(cases, key=lambda c: c.name), 3)]
    assert names[0] != [f"c{i}_0" for i in range(4)]  # not simply the first ones


@pytest.mark.parametrize("folds", [0, 1, 5])
def test_folds_that_cannot_be(folds: int) -> None:
    with pytest.raises(SettingsError, match=rf"--folds {folds} cannot be met; found 4 patients.*2 to 4"):
        cut_folds(cases_of(2, 1, 1, 3), folds)


def test_a_held_out_patient_is_gone_from_both_sides() -> None:
    labeled, unlabeled = cases_of(2, 1), [Case("u0", (), patient="p0"), Case("u1", (), patient="p7")]
    rest = without_patients(Split(tuple(labeled), tuple(unlabeled)), [c for c in labeled if c.name == "c0_1"])
    assert [c.name for c in rest.labeled] == ["c1_0"]
    assert [c.name for c in rest.unlabeled] == ["u1"]


LABELLED = ("anna_1", "anna_2")


def make(folder: Path, layout: str) -> Path:
    """Three cases: two labelled ones of patient a (one partly annotated), one without a label."""
    root = folder / layout
    rng = np.random.default_rng(0)
    images, labels = ("images", "labels") if layout == "plain" else ("imagesTr", "labelsTr")
    for name in (*LABELLED, "carl"):
        for channel in range(2 if layout == "nnunet" else 1):
            volume = Volume(rng.normal(size=(1, 6, 5, 4)).astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
            ending = f"_{channel:04d}.nii.gz" if layout == "nnunet" else ".nii.gz"
            write_volume(root / images / f"{name}{ending}", volume.array, volume)
        if name != "carl":
            write_mask(root / labels / f"{name}.nii.gz", rng.integers(0, 3, (6, 5, 4), np.uint8), volume)
    table = "case,patient,annotated\ncarl,carl,\nanna_2,anna,left wall\nanna_1,anna,\n"
    if layout == "plain":
        table = table.replace("left wall", "2")
    (root / "cases.csv").write_text(table)
    described: dict[str, object] = {
        "channel_names": {"0": "T1", "1": "CT"} if layout == "nnunet" else {"0": "T1"},
        "labels": {"background": 0, "hole": 1, "left wall": 2, "ignore": 3},
        "file_ending": ".nii.gz",
        "may_be_empty": ["hole"],
        "spacing_known": False,
        "codes": {"hole": "T-1"},
    }
    if layout == "msd":
        pairs = ({"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in LABELLED)
        described["training"] = [*pairs, "imagesTr/carl.nii.gz"]
    if layout != "plain":
        (root / "dataset.json").write_text(json.dumps(described))
    return root


def facts(cohort: Cohort) -> dict[str, object]:
    return {k: v for k, v in vars(cohort).items() if k not in ("root", "cases", "colours")}


@pytest.mark.parametrize("layout", ["nnunet", "msd", "plain"])
def test_a_view_is_the_same_cases(layout: str, tmp_path: Path) -> None:
    cohort = load_cohort(make(tmp_path, layout))
    split = split_cohort(cohort, "1")
    seen = {c.name: c for c in (*split.labeled, *split.unlabeled)}
    chosen = [seen[c.name] for c in cohort.cases if c.name != "anna_1"]
    folder = tmp_path / "views" / layout
    view = write_subset_folder(cohort, chosen, folder)
    again = load_cohort(folder)
    assert again.cases == view.cases
    assert [(c.name, c.patient, c.annotated) for c in again.cases] == [
        ("carl", "carl", None), ("anna_2", "anna", (2,)),
    ]  # fmt: skip
    assert [c.label and c.label.name for c in again.cases] == [None, "anna_2.nii.gz"]
    for before, after in zip(chosen, again.cases, strict=True):
        assert [p.resolve() for p in after.images] == [p.resolve() for p in before.images]
        assert all(p.is_file() for p in after.images)
    assert facts(again) == facts(cohort)
    # nothing but two small files; a second writing leaves them alone
    times = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert set(times) == {"dataset.json", "cases.csv"}
    os.utime(folder / "cases.csv", ns=(1, 1))
    write_subset_folder(cohort, chosen, folder)
    assert (folder / "cases.csv").stat().st_mtime_ns == 1


def test_a_view_of_linked_scans(tmp_path: Path) -> None:
    """Stores of data sets often hold links whose targets have other names."""
    root, blobs = make(tmp_path, "nnunet"), tmp_path / "blobs"
    blobs.mkdir()
    for i, path in enumerate(sorted((root / "imagesTr").iterdir())):
        shutil.move(path, blobs / f"{i}")
        path.symlink_to(blobs / f"{i}")
    cohort = load_cohort(root)
    view = write_subset_folder(cohort, cohort.cases, tmp_path / "view")
    assert [c.name for c in view.cases] == [c.name for c in cohort.cases]


def test_files_that_cannot_be_listed_are_an_error(tmp_path: Path) -> None:
    cohort = load_cohort(make(tmp_path, "msd"))
    strange = Case("anna", cohort.cases[0].images)
    with pytest.raises(DataError, match="no such file|cannot be listed"):
        write_subset_folder(cohort, [strange], tmp_path / "view")
