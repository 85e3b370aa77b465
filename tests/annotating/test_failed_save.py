"""A save that fails leaves everything as it was: the label, the table, the copies and the book."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semivox import disk
from semivox.annotating import Desk
from semivox.annotating.book import Book, Reader
from semivox.annotating.label_store import LabelStore
from semivox.cohort import set_cells
from semivox.errors import DataError, DiskFault

CHANGES = [
    name
    for name, it in vars(disk).items()
    if getattr(it, "__module__", "") == disk.__name__ and name[0] != "_" and name != "read_file"
]
OURS = {"book.sqlite", ".cases.lock"}


def everything(data: Path) -> dict[str, bytes]:
    """The data folder's files."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and not OURS & set(path.parts)
    }


def saved(desk: Desk, scan: str, reader: Reader, seed: int, whole: list[int] | None) -> str:
    mask = np.random.default_rng(seed).integers(0, 3, desk.opened(scan).grid.shape).astype(np.uint8)
    version = desk.store.version(desk.case(scan))
    return desk.save(scan, reader, version, mask.tobytes(), 1.0, whole=whole)


class Full:
    """Operation ``at`` of the disk fails, and no other."""

    def __init__(self, at: int) -> None:
        self.left = at

    def instead_of(self, operation: Any) -> Any:
        def act(*a: Any, **k: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return operation(*a, **k)

        return act


@pytest.mark.parametrize("scan", ["known_a", "thick"])
@pytest.mark.parametrize("first", [None, [1]])
@pytest.mark.parametrize("then", [[2], [1, 2]])
def test_whatever_the_disk_refuses_the_folder_is_as_it_was(
    scan: str, first: list[int] | None, then: list[int], desk: Desk, readers: tuple[Reader, Reader],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At each operation in turn; with and without a table and a label; then the save is done."""
    if first is not None:
        saved(desk, scan, readers[0], 1, first)
    shutil.copytree(desk.data, tmp_path / "as it was")
    before, at, full = everything(desk.data), 0, Full(-1)
    want = ["done"] * len(desk.book.history(scan))
    while full.left < 0:
        full = Full(at)
        with monkeypatch.context() as patched:
            for name in CHANGES:
                patched.setattr(disk, name, full.instead_of(getattr(disk, name)))
            try:
                saved(desk, scan, readers[0], 2, then)
            except DiskFault:
                assert everything(desk.data) == before, at
            else:
                if full.left < 0:  # such as of a folder that is only to be cleared away: the save is done
                    shutil.rmtree(desk.data)
                    shutil.copytree(tmp_path / "as it was", desk.data)
        assert not desk.book.begun()
        at += 1
    states = [row["state"] for row in desk.book.history(scan)]
    assert (states[: len(want)], set(states[len(want) : -1]), states[-1]) == (want, {"lost"}, "done")
    assert desk.whole.of(desk.case(scan)) == ({3, 7} if then == [1, 2] else {7})
    again = Desk(desk.run, desk.data)  # what failed stays a failure, though the same label is there now
    assert [row["state"] for row in again.book.history(scan)] == states


@pytest.mark.parametrize("step", ["kept", "finish"])
def test_what_the_book_refuses_is_taken_back_too(
    step: str, desk: Desk, readers: tuple[Reader, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label has its place by then."""
    before, kind = everything(desk.data), getattr(Book, step)

    def refuse(book: Book, *given: Any) -> None:
        if given[1:] != ("lost",):
            raise DataError("the book of labels cannot be used")
        kind(book, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Book, step, refuse)
        with pytest.raises(DataError, match="cannot be used"):
            saved(desk, "known_a", readers[0], 2, [1])
    assert everything(desk.data) == before
    assert [row["state"] for row in desk.book.history("known_a")] == ["lost"]
    saved(desk, "known_a", readers[0], 2, [1])
    assert desk.whole.of(desk.case("known_a")) == {3}


def test_where_the_label_cannot_be_brought_back_the_table_makes_no_background(
    desk: Desk, readers: tuple[Reader, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new label stands there, so what only the former one had does not count as drawn."""

    def refuse(*_: Any) -> None:
        raise DiskFault("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Book, "kept", refuse)
        patched.setattr(LabelStore, "bring_back", refuse)
        with pytest.raises(DiskFault, match="is gone"):
            saved(desk, "known_a", readers[0], 2, [1])
    assert desk.whole.of(desk.case("known_a")) == {3}


def test_what_others_wrote_into_the_table_meanwhile_stays(desk: Desk) -> None:
    """Of the row of the case that failed alone the former cell comes back."""
    table, case, names = desk.data / "cases.csv", desk.case("known_a"), list(desk.cases)
    set_cells(table, "annotated", {"known_a": "3"}, names)
    change = desk.whole.change(case, frozenset({7}))
    change.narrow()
    set_cells(table, "annotated", {"thick": "7"}, names)
    change.take_back()
    assert desk.whole.of(case) == {3}
    assert desk.whole.of(desk.case("thick")) == {7}


def test_who_asks_for_a_scan_whose_facts_cannot_be_read_keeps_the_former(
    desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    anna, ben = readers
    desk.facts("oblique", anna)
    (desk.data / "cases.csv").write_text("case,annotated\nthick,spleen\n")
    with pytest.raises(DataError, match="cases.csv"):
        desk.facts("thick", anna)
    assert desk.book.open_with(ben) == {"oblique": "Anna"}
