"""Labels reach the disk on the scan's own grid, one reader at a time, and survive a kill."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from semivox import disk
from semivox.annotating import Desk
from semivox.annotating.book import LEASE, SILENT, Book, Edit, Reader
from semivox.annotating.drawn import Drawn
from semivox.annotating.order import Ranked, in_turn
from semivox.annotating.page_grid import (
    PageGrid,
    displayed,
    kind_of,
    to_numbers,
    to_values,
    usual_window,
)
from semivox.annotating.refusals import Busy, NotThere, NotWanted, Overtaken
from semivox.annotating.whole_classes import WholeClasses
from semivox.cohort import load_cohort, read_label, read_volume
from semivox.cohort.regions import Region, Regions
from semivox.commands.check import check
from semivox.errors import DataError, DiskFault

SCANS = ("straight", "flipped", "permuted", "oblique", "thick")
VALUES = (0, 3, 7, 200)


def page_mask(desk: Desk, scan: str, seed: int = 0) -> np.ndarray:
    """Class numbers of every class, by chance, on the page's grid."""
    shape = desk.opened(scan).grid.shape
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def saved(desk: Desk, scan: str, reader: Reader, mask: np.ndarray, began_with: str = "", **more: Any) -> str:
    return desk.save(scan, reader, began_with, mask.tobytes(order="F"), 12.5, **more)


# ---- the grid


@pytest.mark.parametrize("scan", SCANS)
def test_a_voxel_of_the_page_is_the_voxel_at_that_place_of_the_patient(
    scan: str, desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    """Held against nibabel: of the file that was written, turned to RAS by its own header."""
    mask = page_mask(desk, scan)
    saved(desk, scan, readers[0], mask)
    image = nib.load(desk.data / f"imagesTr/{scan}_0000.nii.gz")
    label = nib.load(desk.data / f"labelsTr/{scan}.nii.gz")
    np.testing.assert_array_equal(label.affine, image.affine)
    assert label.get_data_dtype() == np.uint8
    canonical = np.asanyarray(nib.as_closest_canonical(label).dataobj)
    np.testing.assert_array_equal(canonical, np.array(VALUES)[mask])
    facts = desk.facts(scan, readers[0])
    shown = np.frombuffer(desk.image(scan), facts["voxels"]).reshape(facts["shape"], order="F")
    np.testing.assert_array_equal(shown, np.asanyarray(nib.as_closest_canonical(image).dataobj))
    assert desk.image(scan, at=3) == shown[..., 3].tobytes(order="F")
    assert (np.prod(facts["edges"]), desk.label(scan)) == (
        pytest.approx(abs(np.linalg.det(image.affine)), rel=1e-5),
        mask.tobytes(order="F"),
    )


def test_a_single_slice_is_looked_at_from_its_front(
    data: Path, run: Path, readers: tuple[Reader, Reader]
) -> None:
    noise = np.random.default_rng(0).integers(0, 99, (1, 12, 10), np.int16)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), data / "imagesTr/straight_0000.nii.gz")
    desk = Desk(run, data)
    assert desk.facts("straight", readers[0])["plane"] == 2  # sagittal
    assert desk.facts("thick", readers[0])["plane"] == 0  # axial


def test_a_picture_keeps_its_pixels(
    pictures: Path, pictures_run: tuple[Path, Path], readers: tuple[Reader, Reader]
) -> None:
    desk = Desk(pictures_run[1], pictures)
    facts = desk.facts("new", readers[0])
    assert (facts["shape"], facts["colour"], facts["spacing_known"]) == ([32, 24, 1], True, False)
    mask = np.zeros((32, 24, 1), np.uint8)
    mask[5, 23, 0] = 1  # the sixth column of the uppermost row, since the page's second axis goes up
    saved(desk, "new", readers[0], mask)
    written = np.asarray(Image.open(pictures / "labelsTr/new.png"))
    assert np.argwhere(written).tolist() == [[0, 5]]
    shown = np.frombuffer(desk.image("new"), facts["voxels"]).reshape((3, 32, 24), order="F")
    assert shown[:, 5, 23].tolist() == list(np.asarray(Image.open(pictures / "imagesTr/new_0000.png"))[0, 5])


@pytest.mark.parametrize("labeled", [False, True])
def test_a_folder_that_declares_no_classes_has_those_of_the_run(
    labeled: bool,
    pictures: Path,
    pictures_run: tuple[Path, Path],
    readers: tuple[Reader, Reader],
    tmp_path: Path,
) -> None:
    """Two plain folders, of which the labels show nothing yet, or not all."""
    plain = tmp_path / "plain"
    for name in ("known", "new"):
        (plain / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / f"imagesTr/{name}_0000.png", plain / f"images/{name}.png")
    if labeled:
        (plain / "labels").mkdir()
        shutil.copy(pictures / "labelsTr/known.png", plain / "labels/known.png")
    desk = Desk(pictures_run[1], plain)
    assert [(row["value"], row["name"]) for row in desk.classes()] == [(1, "cell")]
    mask = np.zeros((32, 24, 1), np.uint8)
    mask[5, 23, 0] = 1
    saved(desk, "new", readers[0], mask)
    assert np.argwhere(np.asarray(Image.open(plain / "labels/new.png"))).tolist() == [[0, 5]]


def test_numbers_and_values_are_each_others_inverse() -> None:
    bytes_ = np.array([[0, 7], [3, 9]], np.uint8)
    assert to_numbers(bytes_, (3, 7, 300), 9).tolist() == [[0, 2], [1, 4]]
    mask = np.array([[0, 7, 300], [3, 9999, 7]])
    numbers = to_numbers(mask, (3, 7, 300), 9999)
    assert numbers.tolist() == [[0, 2, 3], [1, 4, 2]]
    np.testing.assert_array_equal(to_values(numbers, (3, 7, 300), 9999), mask)
    with pytest.raises(ValueError, match="class number 4 of 3"):
        to_values(numbers, (3, 7, 300), None)


@pytest.mark.parametrize("kind", ["f8", ">f4", "i1", "i4", "u2", ">i2", "?"])
def test_every_type_of_scan_can_be_shown(kind: str, tmp_path: Path, data: Path) -> None:
    scan = read_volume(data / "imagesTr/straight_0000.nii.gz")
    array = np.abs(scan.array).astype(kind)
    if kind == "f8":
        array[0, 0, 0, 0] = np.nan
    given = replace(scan, array=array)
    assert kind_of(given) in ("uint8", "int16", "uint16", "float32")
    want = np.nan_to_num(array[0].astype(np.float64)).astype(np.float32)
    shown = np.frombuffer(displayed(given, PageGrid.of(scan), 0), kind_of(given))
    np.testing.assert_array_equal(shown.reshape(scan.shape, order="F"), want)
    low, high = usual_window(given, 0)
    assert want.min() <= low < high <= want.max()


# ---- a part of a label


def test_slices_that_were_not_looked_at_become_ignore_and_the_folder_stays_sound(
    desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    mask = page_mask(desk, "permuted") % 3
    saved(desk, "permuted", readers[0], mask, drawn=Drawn.parse("1:2,5"))
    label = np.asanyarray(nib.as_closest_canonical(nib.load(desk.data / "labelsTr/permuted.nii.gz")).dataobj)
    want = np.full(label.shape, 200)
    want[:, [2, 5]] = np.array(VALUES)[mask][:, [2, 5]]
    np.testing.assert_array_equal(label, want)
    assert check(desk.data).errors == ()


def test_a_label_of_some_classes_tells_training_nothing_of_the_others(
    desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    """The voxels of a class without a tick are left out, cases.csv says who drew what, and the store takes it
    so; a later save of all takes that back. Other rows and columns of the table stay."""
    (desk.data / "cases.csv").write_text("case,patient,note\nknown_a,p1,\nthick,p2,hm\n")
    mask = page_mask(desk, "thick") % 3
    version = saved(desk, "thick", readers[0], mask, whole=[2])
    label = np.asanyarray(nib.as_closest_canonical(nib.load(desk.data / "labelsTr/thick.nii.gz")).dataobj)
    np.testing.assert_array_equal(label, np.where(mask == 2, 7, 0))
    cohort = load_cohort(desk.data)
    drawn = {case.name: case.annotated for case in cohort.cases}
    assert (drawn["thick"], drawn["known_a"], drawn["oblique"]) == ((7,), None, None)
    assert desk.facts("thick", readers[0])["whole"] == [2]
    assert desk.book.history("thick")[-1]["drawn"] == "classes 7"
    assert check(desk.data).errors == ()
    saved(desk, "thick", readers[0], mask, version, whole=[1, 2])
    assert (desk.data / "cases.csv").read_text() == (
        "case,patient,note,annotated\nknown_a,p1,,\nthick,p2,hm,\n"
    )
    assert np.unique(np.asanyarray(nib.load(desk.data / "labelsTr/thick.nii.gz").dataobj)).tolist() == [
        0,
        3,
        7,
    ]


@pytest.mark.parametrize("whole", [[], [3], [0], [-1], [1, 9]])
def test_what_is_no_class_cannot_be_drawn_throughout(
    whole: list[int], desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    with pytest.raises(NotWanted):
        saved(desk, "thick", readers[0], page_mask(desk, "thick"), whole=whole)
    assert not (desk.data / "labelsTr/thick.nii.gz").exists()
    assert not (desk.data / "cases.csv").exists()


def test_structures_that_share_voxels_are_drawn_together(desk: Desk) -> None:
    """As cases.csv is read: the whole tumour and its core share a value, the organ stands alone."""
    regions = Regions((Region("whole", (1, 2), 1), Region("core", (2,), 2), Region("organ", (3,), 3)))
    cohort = replace(desk.cohort, classes={1: "rim", 2: "core", 3: "organ"}, regions=regions)
    table = WholeClasses(cohort, desk.folder)
    assert table.checked([3]) == {3}
    assert table.checked([1, 2]) == {1, 2}
    for half in ([1], [2], [2, 3]):
        with pytest.raises(NotWanted, match="together"):
            table.checked(half)
    case = desk.case("thick")
    change = table.change(case, frozenset({1, 2}))
    change.narrow()
    change.finish()
    assert table.of(case) == {1, 2}


def test_a_kill_while_a_label_gets_its_place_makes_no_background_of_what_nobody_drew(desk: Desk) -> None:
    """Between two partial labels only what both have counts."""
    table, case = desk.whole, desk.case("thick")
    change = table.change(case, frozenset({3}))
    change.narrow()
    assert table.of(case) == {3}
    change.finish()
    table.change(case, frozenset({7})).narrow()  # and no more
    assert table.of(case) == frozenset()
    change = table.change(case, frozenset({3, 7}))
    change.narrow()
    assert table.of(case) == frozenset()
    change.finish()
    assert table.of(case) == {3, 7}


@pytest.mark.parametrize("text", ["3:1", "1", "1:", "1:2,", "0:1;2", "1:1e3", "1:-1", "1:99", "1:9999999"])
def test_a_list_of_slices_that_is_none_is_refused(
    text: str, desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    mask = page_mask(desk, "straight")
    with pytest.raises(NotWanted):
        saved(desk, "straight", readers[0], mask, drawn=Drawn.parse(text))
    assert not (desk.data / "labelsTr/straight.nii.gz").exists()


def test_a_part_needs_ignore(data: Path, run: Path, readers: tuple[Reader, Reader]) -> None:
    about = json.loads((data / "dataset.json").read_text())
    del about["labels"]["ignore"]
    (data / "dataset.json").write_text(json.dumps(about))
    desk = Desk(run, data)
    mask = page_mask(desk, "straight") % 3
    with pytest.raises(NotWanted, match=r"dataset.json.*\"ignore\""):
        saved(desk, "straight", readers[0], mask, drawn=Drawn(2, (1,)))
    with pytest.raises(NotWanted, match="class number 3 of 2"):
        saved(desk, "straight", readers[0], mask + 1)


# ---- several readers


def test_two_readers_never_overwrite_each_other(desk: Desk, readers: tuple[Reader, Reader]) -> None:
    anna, ben = readers
    first = saved(desk, "straight", anna, page_mask(desk, "straight"))
    with pytest.raises(Busy, match="straight is open with Anna"):
        saved(desk, "straight", ben, page_mask(desk, "straight", 1), first)
    desk.book.let_go(anna)
    with pytest.raises(Overtaken, match=r"written by Anna.*open the scan again"):
        saved(desk, "straight", ben, page_mask(desk, "straight", 1), "")
    second = saved(desk, "straight", ben, page_mask(desk, "straight", 1), first)
    assert second == desk.store.version(desk.case("straight")) != first
    (desk.data / "labelsTr/straight.nii.gz").write_bytes(b"by hand")
    with pytest.raises(Overtaken, match="another program"):
        saved(desk, "straight", ben, page_mask(desk, "straight", 2), second)


def test_of_many_who_save_at_once_each_version_has_one_successor(desk: Desk) -> None:
    """Whoever succeeds had seen what it replaced: the book is a chain, and nothing is lost from it."""
    done: list[str] = []

    def work(number: int) -> None:
        reader = Reader(f"reader {number}", f"page-number-{number}")
        for turn in range(3):
            try:
                version = desk.store.version(desk.case("thick"))
                done.append(
                    saved(desk, "thick", reader, page_mask(desk, "thick", 10 * number + turn), version)
                )
            except (Busy, Overtaken):
                continue
            finally:
                desk.book.let_go(reader)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    rows = [row for row in desk.book.history("thick") if row["state"] == "done"]
    assert [row["after"] for row in rows] == done
    assert [row["before"] for row in rows] == ["", *done[:-1]]
    kept = desk.folder / "earlier/thick"
    assert len(list(kept.iterdir())) == len(done) - 1


def test_each_reader_is_offered_another_scan(desk: Desk, readers: tuple[Reader, Reader]) -> None:
    anna, ben = readers
    desk.ranked = Ranked({"oblique": "uncertain", "flipped": "unlike the others"}, None)
    first, second = desk.take_next(anna), desk.take_next(ben)
    assert first is not None
    assert second is not None
    assert (first["case"], first["reason"]) == ("oblique", "uncertain")
    assert second["case"] == "flipped"
    desk.mark("flipped", ben, "skip", "", 3)
    desk.mark("permuted", ben, "flag", "a stent", 3)
    assert desk.next_scan(ben) == "straight"
    assert [row["case"] for row in desk.listing(ben)][-1] == "flipped"
    assert {row["case"]: row["open_with"] for row in desk.listing(ben)}["oblique"] == "Anna"
    desk.mark("permuted", ben, "back", "", 0)
    assert desk.next_scan(ben, {"straight"}) == "permuted"


def test_scans_that_cannot_be_read_are_passed_over_and_told(
    desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    """Whoever asks for one keeps what is open already; where nothing else is left the fault is told."""
    anna, ben = readers
    images = desk.data / "imagesTr"
    (images / "flipped_0000.nii.gz").write_bytes(b"x" * 500)
    (images / "permuted_0000.nii.gz").unlink()
    facts = desk.take_next(anna, {"straight"})
    assert facts is not None
    assert facts["case"] == "oblique"
    assert ["flipped" in fault for fault in facts["unreadable"]] == [True]
    with pytest.raises(DataError, match="flipped"):
        desk.facts("flipped", anna)
    assert desk.book.open_with(ben) == {"oblique": "Anna"}
    desk.get_ready(ben, "thick")
    assert [scan for scan, _ in desk._masks] == ["straight"]
    facts = desk.take_next(ben, {"straight"})
    assert facts is not None
    assert (facts["case"], len(facts["unreadable"])) == ("thick", 2)
    with pytest.raises(DataError, match="flipped"):
        desk.take_next(ben, {"straight", "thick"})


def test_a_lease_ends_with_its_page(tmp_path: Path, readers: tuple[Reader, Reader]) -> None:
    anna, ben = readers
    book = Book(tmp_path)
    book.take("a", anna, now=1000.0)
    book.take("a", anna, now=1000.0 + LEASE - 1)
    with pytest.raises(Busy, match="was 1 s ago"):
        book.take("a", ben, now=1000.0 + LEASE)
    book.take("a", ben, now=1000.0 + 2 * LEASE)
    book.take("b", ben, now=1000.0 + 2 * LEASE)
    assert book.open_with(anna, 1000.0 + 2 * LEASE) == {"b": "Ben"}
    assert book.open_with(ben, 1000.0 + 2 * LEASE) == {}


def test_who_lost_a_page_goes_on_with_its_scan(tmp_path: Path, readers: tuple[Reader, Reader]) -> None:
    anna, ben = readers
    again = Reader(anna.name, "another page of hers")
    book = Book(tmp_path)
    book.take("a", anna, now=1000.0)
    told = rf"free {LEASE - 30:.0f} s from now.* for Anna {SILENT - 30:.0f} s from now"
    with pytest.raises(Busy, match=told):
        book.take("a", again, now=1030.0)
    assert book.open_with(again, 1030.0) == {"a": "Anna"}
    later = 1001.0 + SILENT
    with pytest.raises(Busy, match=rf"free {LEASE - SILENT - 1:.0f} s from now, if their page is closed$"):
        book.take("a", ben, now=later)
    assert book.open_with(again, later) == {}
    book.take("a", again, now=later)
    with pytest.raises(Busy):  # the first page was only slow, and hears of it
        book.take("a", anna, now=later)


# ---- what is kept


def test_every_edit_is_in_the_book_and_every_label_beside_it(
    desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    masks = [page_mask(desk, "known_a", seed) for seed in range(2)]
    before = (desk.data / "labelsTr/known_a.nii.gz").read_bytes()
    version = desk.store.version(desk.case("known_a"))
    for mask in masks:
        version = saved(desk, "known_a", readers[0], mask, version)
    rows = desk.book.history("known_a")
    assert [(r["reader"], r["seconds"], r["model_id"]) for r in rows] == [
        ("Anna", 12.5, desk.card["model_id"])
    ] * 2
    assert (desk.folder / "earlier/known_a/0001.nii.gz").read_bytes() == before
    assert [row["earlier"] for row in rows] == ["0001.nii.gz", "0002.nii.gz"]
    second = read_label(desk.folder / "earlier/known_a/0002.nii.gz").array[0]
    np.testing.assert_array_equal(second, np.array(VALUES)[masks[0]])
    assert sorted(desk.labeled()) == ["known_a", "known_b"]
    saved(desk, "thick", readers[0], page_mask(desk, "thick"))
    assert sorted(desk.labeled()) == ["known_a", "known_b", "thick"]


class Killed(BaseException):
    """The process is gone."""


OPERATIONS = [name for name in vars(disk) if callable(getattr(disk, name)) and name[0] != "_"]
CHANGES = [n for n in OPERATIONS if getattr(disk, n).__module__ == disk.__name__ and n != "read_file"]


class Failing:
    """Operation ``at`` of the disk fails; after a kill none has an effect."""

    def __init__(self, at: int, fault: str) -> None:
        self.left, self.fault = at, fault

    def instead_of(self, operation: Any) -> Any:
        def act(*a: Any, **k: Any) -> Any:
            self.left -= 1
            if self.left < 0 and self.fault == "killed":
                raise Killed
            if self.left == -1:
                raise OSError(28, "No space left on device")
            return operation(*a, **k)

        return act


@pytest.mark.parametrize("fault", ["killed", "full"])
def test_a_kill_in_mid_save_loses_nothing_and_leaves_no_half_file(
    fault: str, data: Path, run: Path, tmp_path: Path, readers: tuple[Reader, Reader], monkeypatch: Any
) -> None:
    """At every operation on the disk in turn; afterwards a new server goes on."""
    desk = Desk(run, data)
    masks = [page_mask(desk, "known_a", seed) for seed in (1, 2)]
    first = saved(desk, "known_a", readers[0], masks[0], desk.store.version(desk.case("known_a")))
    shutil.copytree(data, tmp_path / "as it was")
    faults, at = 0, 0
    while True:
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "as it was", data)
        with monkeypatch.context() as patched:
            failing = Failing(at, fault)
            for name in CHANGES:
                patched.setattr(disk, name, failing.instead_of(getattr(disk, name)))
            try:
                saved(desk, "known_a", readers[0], masks[1], first)
            except (Killed, DiskFault):
                faults += 1
        if failing.left >= 0:
            break
        after = Desk(run, data)  # a new server settles what was begun
        there = after.label("known_a")
        whole = [mask.tobytes(order="F") for mask in masks]
        assert there in whole
        version = after.store.version(after.case("known_a"))
        last = [row for row in after.book.history("known_a") if row["state"] == "done"][-1]
        assert last["after"] == version
        assert not after.book.begun()
        saved(after, "known_a", readers[0], masks[1], version)
        assert after.label("known_a") == whole[1]
        left = [p for p in data.rglob(".writing-*") if "draft" not in p.name]
        assert fault == "killed" or left == []
        at += 1
    assert (at > 10, faults > 5) == (True, True)


# ---- what others hand us


@pytest.mark.parametrize("name", ["../x", "straight/../x", "/etc/passwd", "", "nobody", "straight\0"])
def test_a_case_is_looked_up_and_becomes_no_path(
    name: str, desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    before = sorted(desk.data.rglob("*"))
    for ask in (
        lambda: desk.facts(name, readers[0]),
        lambda: desk.image(name),
        lambda: desk.mark(name, readers[0], "skip", "", 0),
        lambda: desk.save(name, readers[0], "", b"", 0),
    ):
        with pytest.raises(NotThere):
            ask()
    assert sorted(desk.data.rglob("*")) == before


def test_a_book_that_is_none_is_told(data: Path, run: Path) -> None:
    folder = data / "annotations"
    folder.mkdir()
    (folder / "book.sqlite").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 8)
    with pytest.raises(DataError, match=r"book.sqlite: the book of labels cannot be used"):
        Desk(run, data)
    (folder / "book.sqlite").unlink()
    db = sqlite3.connect(folder / "book.sqlite")
    db.execute("PRAGMA user_version = 9")
    db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(DataError, match="format 9"):
        Desk(run, data)
    (folder / "book.sqlite").unlink()
    os.mkfifo(folder / "book.sqlite")
    with pytest.raises(DataError, match="is no file"):
        Desk(run, data)


def test_no_link_leads_out_of_the_data_folder(data: Path, run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (data / "annotations").symlink_to(elsewhere)
    with pytest.raises(DataError, match="is a link"):
        Desk(run, data)
    assert list(elsewhere.iterdir()) == []


def test_a_book_from_others_names_no_file_to_open(desk: Desk, readers: tuple[Reader, Reader]) -> None:
    edit = Edit("../../x", "Eve", "save", earlier="../../../etc/passwd", after="x", before="y")
    desk.book.begin(edit, "page-of-eve")
    again = Desk(desk.run, desk.data)
    assert "../../x" not in again.labeled()
    assert again.book.history("../../x")[0]["state"] == "lost"


def test_labels_of_further_images_are_found_again(
    data: Path, run: Path, readers: tuple[Reader, Reader]
) -> None:
    (data / "imagesUn").mkdir()
    os.replace(data / "imagesTr/thick_0000.nii.gz", data / "imagesUn/thick_0000.nii.gz")
    desk = Desk(run, data)
    saved(desk, "thick", readers[0], page_mask(desk, "thick"))
    found = {case.name: case.label for case in load_cohort(data).cases}
    assert found["thick"] == data / "labelsTr/thick.nii.gz"


def test_the_order_is_that_of_the_choice_then_of_the_rank_then_of_the_names() -> None:
    ranked = Ranked({"d": "", "b": ""}, None)
    assert in_turn(["a", "b", "c", "d"], ranked, later=["b"]) == ["d", "a", "c", "b"]
