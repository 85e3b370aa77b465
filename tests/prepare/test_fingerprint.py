"""The fingerprint of a small cohort, measured against what was put into it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort.case import Case, Cohort, Split
from semivox.errors import DataError
from semivox.prepare import fingerprint as measure
from semivox.prepare.fingerprint import rung_spacing

AFFINE = np.diag([4.0, 1.0, 1.0, 1.0])  # the first axis is the coarsest: it goes last


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    cases = []
    for i in range(4):
        label = np.zeros((6, 18, 20 + 2 * i), np.uint8)
        label[1:5, 3:12, 4:14] = 1
        label[2, 14, 3:5] = 2
        image = np.where(label > 0, 300 + i, 7).astype(np.int16)
        names = tmp_path / f"c{i}_0000.nii.gz", tmp_path / f"c{i}.nii.gz"
        nib.save(nib.Nifti1Image(image, AFFINE), names[0])
        nib.save(nib.Nifti1Image(label, AFFINE), names[1])
        cases.append(Case(f"c{i}", (names[0],), names[1]))
    return Cohort(tmp_path, tuple(cases), ("CT",), {1: "organ", 2: "duct"})


def two_labeled(cohort: Cohort) -> Split:
    return Split(cohort.cases[:2], cohort.cases[2:])


def test_what_is_measured(cohort: Cohort, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    found = measure(cohort, two_labeled(cohort), lambda *d: done.append(d), 1, tmp_path / "cache")
    assert done == [(n, 6) for n in range(1, 7)]  # four headers, two labelled cases
    assert (found.dims, found.axes, found.native_spacing) == (3, (1, 2, 0), (1.0, 1.0, 4.0))
    assert [case.shape for case in found.cases] == [(18, 20 + 2 * i, 6) for i in range(4)]
    assert found.labeled == 2
    assert [case.voxels for case in found.cases] == [(360, 2), (360, 2), (), ()]
    assert found.cases[0].ceilings[0] == (1.0, 1.0)
    assert found.cases[2].ceilings == ()
    assert [case.largest for case in found.cases] == [(1.0, 1.0), (1.0, 1.0), (), ()]
    organ, duct = found.cases[0].ceilings[-1]
    assert organ is not None
    assert organ > 0.8
    assert duct is not None
    assert duct < 0.5  # two voxels are lost at three times the spacing
    assert found.foreground[0].mean == pytest.approx(300.5)
    assert found.foreground[0].low == 300


def test_the_share_of_a_class_in_its_largest_piece(cohort: Cohort, tmp_path: Path) -> None:
    label = np.zeros((6, 18, 20), np.uint8)
    label[1:3, 3:6, 4:7] = 1  # 18 voxels, and 6 apart from them
    label[4, 10:16, 10] = 1
    nib.save(nib.Nifti1Image(label, AFFINE), cohort.cases[0].label)
    found = measure(cohort, two_labeled(cohort), None, 1, tmp_path / "cache")
    assert [case.largest for case in found.cases[:2]] == [(0.75, None), (1.0, 1.0)]


def test_the_box_around_the_largest_piece_of_all_foreground(cohort: Cohort, tmp_path: Path) -> None:
    label = np.zeros((6, 18, 20), np.uint8)
    label[1:3, 3:7, 4:8], label[1:3, 3:7, 8] = 1, 2  # one piece of both classes
    label[4, 10:16, 10] = 1  # another, longer but smaller
    nib.save(nib.Nifti1Image(label, AFFINE), cohort.cases[0].label)
    found = measure(cohort, two_labeled(cohort), None, 1, tmp_path / "cache")
    assert found.axes == (1, 2, 0)
    assert found.cases[0].together == pytest.approx(40 / 46)
    assert [case.extent for case in found.cases[::2]] == [(4, 5, 2), None]  # labelled, unlabelled


def test_all_labelled_cases_together_give_a_bounded_number_of_samples(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("semivox.prepare.fingerprint")
    seen: list[int] = []
    inner = module._intensity
    monkeypatch.setattr(module, "_intensity", lambda values: seen.append(values.size) or inner(values))
    everything = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "a")
    assert seen[-1] == 2 * 362  # the last call is for the foreground: every voxel of both cases
    monkeypatch.setattr(module, "MOST_SAMPLES", 101)
    some = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "b")
    assert seen[-1] == 2 * 50
    assert some.foreground[0].mean == pytest.approx(300.5)
    assert some.cases == everything.cases


def test_two_workers_and_the_cache_agree(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "one")
    assert measure(cohort, two_labeled(cohort), workers=2, cache=tmp_path / "two") == one
    known = next((tmp_path / "one" / "fingerprints").iterdir())
    calls: list[int] = []
    again = measure(cohort, two_labeled(cohort), lambda done, _: calls.append(done), 1, tmp_path / "one")
    assert again == one
    assert calls == [1, 2, 3, 4, 6]  # of the labelled cases nothing is measured again
    known.write_text("{}")  # damaged: measured anew
    anew: list[int] = []
    assert measure(cohort, two_labeled(cohort), lambda done, _: anew.append(done), 1, tmp_path / "one") == one
    assert anew == [1, 2, 3, 4, 5, 6]


def test_label_files_of_unlabelled_cases_are_never_opened(cohort: Cohort, tmp_path: Path) -> None:
    before = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "before")
    for case in cohort.cases[2:]:
        assert case.label is not None
        case.label.write_bytes(b"garbage")
    assert measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "after") == before
    assert measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "before") == before


def test_another_file_is_another_fingerprint(cohort: Cohort, tmp_path: Path) -> None:
    before = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "cache")
    path = cohort.cases[3].images[0]
    nib.save(nib.Nifti1Image(np.full((6, 18, 40), 5, np.int16), AFFINE), path)
    after = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "cache")
    assert after != before
    assert after.cases[3].shape == (18, 40, 6)


def test_no_voxel_of_an_unlabelled_scan_is_read(cohort: Cohort, tmp_path: Path) -> None:
    """A folder of a hundred thousand is planned by its headers."""
    before = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "cache")
    for case in cohort.cases[2:]:
        voxels = np.asarray(nib.load(case.images[0]).dataobj)
        nib.save(nib.Nifti1Image(np.full(voxels.shape, np.nan, np.float32), AFFINE), case.images[0])
    assert measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "cache") == before
    with pytest.raises(DataError, match="NaN"):
        measure(cohort, Split(cohort.cases[2:3], ()), workers=1, cache=tmp_path / "cache")


def test_labelled_scans_are_not_measured_again_for_another_unlabelled_one(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "cache")
    module = import_module("semivox.prepare.fingerprint")
    monkeypatch.setattr(module, "_measure", lambda task: pytest.fail(task.case.name))
    fewer = Split(cohort.cases[:2], cohort.cases[2:3])
    assert len(measure(cohort, fewer, workers=1, cache=tmp_path / "cache").cases) == 3


def test_channel_files_of_an_unlabelled_case_lie_on_one_grid(cohort: Cohort, tmp_path: Path) -> None:
    two = replace(cohort, channels=("CT", "PET"))
    both = tuple(replace(case, images=case.images * 2) for case in cohort.cases[:3])
    measure(two, Split(both[:2], both[2:]), workers=1, cache=tmp_path / "cache")
    odd = replace(both[2], images=(cohort.cases[2].images[0], cohort.cases[3].images[0]))
    with pytest.raises(DataError, match="different grids"):
        measure(two, Split(both[:2], (odd,)), workers=1, cache=tmp_path / "cache")


def test_nominal_spacing_becomes_ratios(cohort: Cohort, tmp_path: Path) -> None:
    for path in (path for case in cohort.cases for path in (*case.images, case.label) if path):
        voxels = np.asarray(nib.load(path).dataobj).copy()
        nib.save(nib.Nifti1Image(voxels, np.diag([12.0, 3.0, 3.0, 1.0])), path)
    odd = cohort.cases[3].images[0]
    nib.save(nib.Nifti1Image(np.zeros((6, 18, 20), np.int16), np.diag([9.0, 9.0, 9.0, 1.0])), odd)
    nominal = replace(cohort, spacing_known=False)
    found = measure(nominal, two_labeled(cohort), workers=1, cache=tmp_path / "cache")
    assert found.native_spacing == (1.0, 1.0, 4.0)
    assert {case.spacing for case in found.cases} == {(1.0, 1.0, 4.0)}
    known = measure(cohort, two_labeled(cohort), workers=1, cache=tmp_path / "cache")
    assert known.native_spacing == (3.0, 3.0, 12.0)
    assert known.cases[3].spacing == (9.0, 9.0, 9.0)


def test_faults_stop_it(cohort: Cohort, tmp_path: Path) -> None:
    def fails(match: str, split: Split, where: Cohort = cohort) -> None:
        with pytest.raises(DataError, match=match):
            measure(where, split, workers=1, cache=tmp_path / "cache")

    fails("no labelled case", Split((), cohort.cases))
    fails(
        r"class 3 \(vessel\)", two_labeled(cohort), replace(cohort, classes={**cohort.classes, 3: "vessel"})
    )
    fails("outside", two_labeled(cohort), replace(cohort, classes={1: "organ"}))
    fails("other channels", two_labeled(cohort), replace(cohort, channels=("CT", "PET")))
    flat = tmp_path / "flat_0000.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((6, 18, 20, 2), np.int16), AFFINE), flat)
    fails("channels", Split(cohort.cases[:1], (Case("flat", (flat,)),)))


def test_a_coarse_axis_waits_for_the_others() -> None:
    assert rung_spacing((0.5, 0.5, 0.5), 2.0) == (1.0, 1.0, 1.0)
    assert rung_spacing((1.0, 1.2, 5.0), 1.5) == (1.5, 1.5, 5.0)
    assert rung_spacing((1.0, 1.0, 2.5), 3.0) == (3.0, 3.0, 3.0)
