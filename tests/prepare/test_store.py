"""The store: what lies in it, that it depends on its key only, and what happens when a build breaks."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort.case import Case, Cohort, Split
from semivox.errors import DataError
from semivox.prepare import cache as cache_module
from semivox.prepare import store_entry
from semivox.prepare.cache import cache_folder
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.prepare.store import Store, StoredCase, build_store

PLAN = Plan(
    dims=3,
    axes=(0, 1, 2),
    native_spacing=(1.0, 1.0, 2.0),
    spacing=(2.0, 2.0, 2.0),
    spacing_known=True,
    rung=2.0,
    shape=(8, 7, 5),
    patch=(8, 8, 4),
    batch=(2, 2),
    network=NetworkPlan("unet", (16,), ((3, 3, 3),), ()),
    channels=(ChannelPlan("MR", "zscore"),),
    classes=(ClassPlan(1, "organ", 10.0, 1.0), ClassPlan(3, "tumour", 10.0, 1.0)),
    budget_seconds=None,
    step_seconds=1.0,
    steps=None,
    assumptions=(),
)
AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Five scans stored left-right reversed; every one has a label file, the last with an ignored corner."""
    folder, cases = tmp_path / "data", []
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for i in range(5):
        rng = np.random.default_rng(i)
        label = np.zeros((16, 14, 5), np.int16)
        label[3:9, 4:10, 1:4] = 1
        label[12 - i, 11, 2] = 3
        if i == 2:
            label[0, 0, 0] = 9
        image = rng.normal(100, 10, size=label.shape) + 80 * (label > 0)
        names = folder / f"imagesTr/c{i}_0000.nii.gz", folder / f"labelsTr/c{i}.nii.gz"
        nib.save(nib.Nifti1Image(image.astype(np.float32), AFFINE), names[0])
        nib.save(nib.Nifti1Image(label, AFFINE), names[1])
        cases.append(Case(f"c{i}", (names[0],), names[1]))
    return Cohort(folder, tuple(cases), ("MR",), {1: "organ", 3: "tumour"}, ignore=9)


def split(cohort: Cohort, labeled: int = 3) -> Split:
    return Split(cohort.cases[:labeled], cohort.cases[labeled:])


def same(a: StoredCase, b: StoredCase) -> bool:
    def equal(x: np.ndarray | None, y: np.ndarray | None) -> bool:
        return x is y is None or (x is not None and y is not None and np.array_equal(x, y))

    arrays = (equal(getattr(a, n), getattr(b, n)) for n in ("image", "target", "valid", "body", "annotated"))
    points = all(np.array_equal(a.foreground[k], b.foreground[k]) for k in a.foreground)
    return all(arrays) and points and a.foreground.keys() == b.foreground.keys() and a.spacing == b.spacing


def all_same(a: Store, b: Store) -> bool:
    return a.cases == b.cases and all(same(a.case(i), b.case(i)) for i in range(len(a.cases)))


def test_what_lies_in_it(cohort: Cohort, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    store = build_store(cohort, split(cohort), PLAN, tmp_path / "cache", 1, lambda *d: done.append(d))
    assert store.cases == ("c0", "c1", "c2", "c3", "c4")
    assert (store.labeled, store.unlabeled) == ((0, 1, 2), (3, 4))
    assert done[-1] == (8, 8)  # five images, three targets
    assert store.root == tmp_path / "cache"

    case = store.case(2)
    assert case.image.shape == (1, 8, 7, 5)
    assert case.image.dtype == np.float16
    assert case.spacing == (2.0, 2.0, 2.0)
    array = np.asarray(nib.load(cohort.cases[2].images[0]).dataobj)[::-1]  # turned to RAS
    scored = (array - array.mean()) / array.std()
    expected = scored.reshape(8, 2, 7, 2, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(case.image[0], expected, atol=2e-3)

    assert case.target is not None
    label = np.asarray(nib.load(cohort.cases[2].label or "").dataobj)[::-1]
    halves = (label == 1).reshape(8, 2, 7, 2, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(case.target[0] / 255, halves, atol=1 / 255)
    assert case.valid is not None
    assert np.argwhere(case.valid[0] == 0).tolist() == [[7, 0, 0]]
    assert store.case(0).valid is None
    assert np.array_equal(case.foreground[1], np.argwhere(case.target[0] >= 128))  # half a voxel or more
    assert 128 in case.target[0]
    assert case.foreground[2].tolist() == [[2, 5, 2]]  # one native voxel, a quarter of a working one
    bright = np.asarray(case.image[0], np.float32)
    assert (bright[tuple(case.body.T)] > bright.mean()).all()
    assert case.annotated.tolist() == [1, 1]

    unlabeled = store.case(4)
    assert unlabeled.target is None
    assert unlabeled.valid is None
    assert unlabeled.foreground == {}
    assert unlabeled.annotated.tolist() == [0, 0]
    assert len(unlabeled.body) > 0


def test_each_row_knows_its_patient(cohort: Cohort, tmp_path: Path) -> None:
    owners = ("ann", "", "bob", "ann", "")
    cases = tuple(replace(c, patient=p) for c, p in zip(cohort.cases, owners, strict=True))
    reordered = Split((cases[2], cases[0]), (cases[4], cases[1], cases[3]))
    store = build_store(cohort, reordered, PLAN, tmp_path, workers=1)
    assert store.patients == ("bob", "ann", "c4", "c1", "ann")
    assert [row.patient for row in store.rows] == list(store.patients)


def test_one_and_two_workers_agree(cohort: Cohort, tmp_path: Path) -> None:
    one = build_store(cohort, split(cohort), PLAN, tmp_path / "one", workers=1)
    two = build_store(cohort, split(cohort), PLAN, tmp_path / "two", workers=2)
    assert all_same(one, two)


def test_label_files_of_unlabelled_cases_are_never_opened(cohort: Cohort, tmp_path: Path) -> None:
    before = build_store(cohort, split(cohort), PLAN, tmp_path / "before", workers=1)
    for case in cohort.cases[3:]:
        assert case.label is not None
        case.label.write_bytes(b"garbage")
    after = build_store(cohort, split(cohort), PLAN, tmp_path / "after", workers=1)
    assert all_same(before, after)
    assert [row.image.name for row in before.rows] == [row.image.name for row in after.rows]


def test_the_key_holds_content_and_preprocessing_only(cohort: Cohort, tmp_path: Path) -> None:
    first = build_store(cohort, split(cohort), PLAN, tmp_path, workers=1)

    def shared(plan: Plan, where: Cohort = cohort, labeled: int = 3) -> list[bool]:
        other = build_store(where, split(where, labeled), plan, tmp_path, workers=1)
        images = [a.image == b.image for a, b in zip(first.rows, other.rows, strict=True)]
        targets = [a.target == b.target for a, b in zip(first.rows, other.rows, strict=True)]
        return [all(images), all(targets)]

    assert shared(replace(PLAN, patch=(4, 4, 4), batch=(1, 1), budget_seconds=60.0, steps=3)) == [True, True]
    assert shared(PLAN, labeled=2) == [True, False]  # case 2 has no target now
    assert shared(replace(PLAN, spacing=(1.0, 1.0, 2.0))) == [False, False]
    ct = ChannelPlan("MR", "ct", low=0.0, high=200.0, mean=100.0, std=10.0)
    assert shared(replace(PLAN, channels=(ct,))) == [False, False]
    fewer = replace(cohort.cases[0], annotated=(1,))
    assert shared(PLAN, replace(cohort, cases=(fewer, *cohort.cases[1:]))) == [True, False]


def test_unannotated_classes_are_empty(cohort: Cohort, tmp_path: Path) -> None:
    cases = (replace(cohort.cases[0], annotated=(3,)), *cohort.cases[1:])
    case = build_store(replace(cohort, cases=cases), Split(cases[:1], ()), PLAN, tmp_path, 1).case(0)
    assert case.target is not None
    assert not case.target[0].any()
    assert case.target[1].any()
    assert case.annotated.tolist() == [0, 1]
    assert list(case.foreground) == [2]


def test_half_written_and_damaged_entries_are_rebuilt(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_store(cohort, split(cohort), PLAN, tmp_path / "whole", workers=1)
    first = build_store(cohort, split(cohort), PLAN, tmp_path / "broken", workers=1)
    (first.rows[0].image / "meta.json").unlink()
    (first.rows[1].image / "image.npy").write_bytes(b"\x93NUMPY")
    target = first.rows[2].target
    assert target is not None
    (target / "meta.json").write_text("{")
    leftover = first.root / "images" / ".writing-abcd1234-of_a_killed_process"
    shutil.copytree(first.rows[3].image, leftover)
    lying = first.rows[3].image / "meta.json"
    lying.write_text(json.dumps({**json.loads(lying.read_text()), "spacing": [1.0, 0.0, 1.0]}))
    monkeypatch.setattr("semivox.leftovers._swept", set())  # a process that begins
    built: list[tuple[int, int]] = []
    again = build_store(cohort, split(cohort), PLAN, first.root, 1, lambda *d: built.append(d))
    assert built[-1] == (4, 4)
    assert not leftover.exists()
    assert all_same(whole, again)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = np.save, []

    def full(path: Path, array: np.ndarray, **options: bool) -> None:
        calls.append(path)
        if len(calls) == 6:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, array, **options)

    monkeypatch.setattr(store_entry.np, "save", full)
    with pytest.raises(DataError, match=r"No space left.*--cache"):
        build_store(cohort, split(cohort), PLAN, tmp_path / "cache", workers=1)
    folders = [*(tmp_path / "cache").glob("images/*"), *(tmp_path / "cache").glob("targets/*")]
    assert len(folders) == 2  # of two or three arrays each
    assert all(store_entry.meta_if_whole(folder) is not None for folder in folders)


def test_faulty_files_are_named(cohort: Cohort, tmp_path: Path) -> None:
    case = cohort.cases[0]
    assert case.label is not None
    image = np.asarray(nib.load(case.images[0]).dataobj).copy()
    label = np.asarray(nib.load(case.label).dataobj).copy()

    def fails(match: str, workers: int = 1) -> None:
        with pytest.raises(DataError, match=match):
            build_store(cohort, split(cohort), PLAN, tmp_path / "cache", workers)

    nib.save(nib.Nifti1Image(np.where(label == 1, 5, label), AFFINE), case.label)
    fails(r"c0\.nii\.gz.*\[5\]")
    fails(r"c0\.nii\.gz.*\[5\]", workers=2)  # the error of another process says the same
    nib.save(nib.Nifti1Image(label[1:], AFFINE), case.label)
    fails("grid")
    image[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(image, AFFINE), case.images[0])
    fails("NaN")
    with pytest.raises(DataError, match="no label file"):
        build_store(cohort, Split((replace(case, label=None),), ()), PLAN, tmp_path / "cache", 1)


def test_values_beyond_float16_are_kept(cohort: Cohort, tmp_path: Path) -> None:
    ct = ChannelPlan("MR", "ct", low=0.0, high=1e9, mean=0.0, std=1e-4)
    store = build_store(cohort, Split((), cohort.cases[:1]), replace(PLAN, channels=(ct,)), tmp_path, 1)
    assert store.case(0).image.dtype == np.float32
    assert np.isfinite(store.case(0).image).all()


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.delenv("SEMIVOX_CACHE", raising=False)
    assert cache_folder(data) == data / ".semivox"
    monkeypatch.setenv("SEMIVOX_CACHE", str(tmp_path / "env"))
    assert cache_folder(data) == tmp_path / "env"
    assert cache_folder(data, tmp_path / "own") == tmp_path / "own"
    monkeypatch.delenv("SEMIVOX_CACHE")
    monkeypatch.setattr(cache_module, "user_cache", lambda: tmp_path / "home")
    refused = cache_module._unwritable
    monkeypatch.setattr(cache_module, "_unwritable", lambda f: "no" if data in f.parents else refused(f))
    assert (tmp_path / "home" / "semivox") in cache_folder(data).parents
    with pytest.raises(DataError, match="SEMIVOX_CACHE"):
        cache_folder(tmp_path, data / "elsewhere")
