"""Labels with a palette are read as indices, so files of one folder have to agree on what an index shows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import semivox
from semivox.cohort.check import check_cohort
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import read_request
from semivox.errors import DataError

BLACK, RED, GREEN = (0, 0, 0), (255, 0, 0), (0, 255, 0)
SHAPE = (12, 10)
Colour = tuple[int, int, int]


def indices(*values: int) -> np.ndarray:
    """(Y, X): each of the values in rows of its own."""
    rows = np.resize(np.repeat(values, 3), SHAPE[0])
    return np.repeat(rows[:, None], SHAPE[1], 1).astype(np.uint8)


def save(path: Path, values: np.ndarray, colours: Sequence[Colour] | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        table = np.zeros((3, 256), np.uint16)
        table[:, : len(colours or ())] = np.array(colours, np.uint16).T * 257 if colours else 0
        kind = {"photometric": "palette", "colormap": table} if colours else {"photometric": "minisblack"}
        tifffile.imwrite(path, values, **kind)
        return
    picture = Image.fromarray(values)
    if colours:
        picture = picture.convert("P")
        picture.putpalette([part for colour in colours for part in colour])
    picture.save(path)


def folder(root: Path, labels: dict[str, tuple[np.ndarray, Sequence[Colour] | None]], ending: str) -> Path:
    rng = np.random.default_rng(0)
    for name, (values, colours) in labels.items():
        save(root / "images" / f"{name}.png", rng.integers(0, 255, SHAPE).astype(np.uint8), None)
        save(root / "labels" / f"{name}{ending}", values, colours)
    return root


DISAGREE = {
    "an order that is swapped": ((indices(0, 1), (BLACK, RED)), (indices(1, 0), (RED, BLACK))),
    "an index of two colours": ((indices(0, 1), (BLACK, RED)), (indices(0, 1), (BLACK, GREEN))),
    "a colour of two indices": ((indices(0, 1), (BLACK, RED)), (indices(0, 2), (BLACK, GREEN, RED))),
    "each its own colours": ((indices(0, 1, 2), (BLACK, RED, GREEN)), (indices(0, 1), (BLACK, GREEN))),
}
AGREE = {
    "one palette": ((indices(0, 1), (BLACK, RED)), (indices(0, 1), (BLACK, RED))),
    "entries that are not used": ((indices(0, 1), (BLACK, RED, GREEN)), (indices(0, 1), (BLACK, RED, RED))),
    "one without a palette": ((indices(0, 1), (BLACK, RED)), (indices(1, 0), None)),
    "one colour for all": ((indices(0, 1), (BLACK, BLACK)), (indices(0, 1), (BLACK, BLACK, RED))),
    "each shows a class of its own": (
        (indices(0, 1), (BLACK, RED, GREEN)), (indices(0, 2), (BLACK, RED, GREEN, RED)),
    ),
}  # fmt: skip
ENDINGS = [(".png", ".png"), (".tif", ".tif"), (".png", ".tif")]


@pytest.mark.parametrize("endings", ENDINGS, ids=" ".join)
@pytest.mark.parametrize("both", DISAGREE.values(), ids=DISAGREE)
def test_labels_whose_palettes_disagree_are_refused(both, endings: tuple[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, one, ending in zip("ab", both, endings, strict=True):
        folder(data, {name: one}, ending)
    (error,) = check_cohort(data).errors
    assert error.case == "b"
    assert error.path.endswith(f"b{endings[1]}")
    assert f"a{endings[0]}" in error.found + error.expected
    assert "index" in error.found
    assert "#ff0000" in error.found + error.expected
    with pytest.raises(DataError, match="palette"):
        semivox.train(data, tmp_path / "run", steps=1)

    masks = tmp_path / "masks"
    for name in "ab":
        save(masks / f"{name}.png", indices(0, 1), None)
    for given in (data, data / "labels"):
        with pytest.raises(DataError, match=r"palette.*index") as refused:
            semivox.evaluate(masks, given)
        assert f"a{endings[0]}" in str(refused.value)
    with pytest.raises(DataError, match=r"palette.*index"):  # predictions of other programs
        semivox.evaluate(data / "labels", masks)

    for path in (data / "labels").iterdir():  # the remedy: without a palette
        array = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
        save(path, array, None)
    assert check_cohort(data).errors == ()


@pytest.mark.parametrize("endings", ENDINGS, ids=" ".join)
@pytest.mark.parametrize("both", DISAGREE.values(), ids=DISAGREE)
def test_held_out_labels_are_held_to_the_palettes_of_those_learned_from(
    both, endings: tuple[str, str], tmp_path: Path
) -> None:
    (learned, held_out), (first, second) = both, endings
    every = indices(0, 1, 2), None
    data = folder(tmp_path / "data", {"a": learned, "b": every, "hidden": held_out}, first)
    (data / "cases.csv").write_text("case,role\na,\nb,\nhidden,unlabeled\n")
    other = folder(tmp_path / "other", {"a": held_out}, second)
    agree = folder(tmp_path / "agree", {"a": learned}, second)
    asked = CompareOptions(data, tmp_path / "compared", methods="supervised", steps=1)
    for refused in (
        lambda: semivox.train(data, tmp_path / "run", steps=1, watch=other),
        lambda: read_request(replace(asked, test=other)),
    ):
        with pytest.raises(DataError, match=r"palette.*index") as error:
            refused()
        assert str(data / "labels" / f"a{first}") in str(error.value)
    with pytest.raises(DataError, match="also a training scan"):  # nothing against its palette
        read_request(replace(asked, test=agree))


@pytest.mark.parametrize("endings", ENDINGS, ids=" ".join)
@pytest.mark.parametrize("both", AGREE.values(), ids=AGREE)
def test_palettes_that_differ_elsewhere_are_none_of_our_business(
    both, endings: tuple[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name, one, ending in zip("ab", both, endings, strict=True):
        folder(data, {name: one}, ending)
    assert check_cohort(data).errors == ()
    assert set(semivox.evaluate(data / "labels", data)["cases"]) == {"a", "b"}


def test_only_labels_that_count_are_compared(tmp_path: Path) -> None:
    one, other = DISAGREE["an index of two colours"]
    data = folder(tmp_path, {"a": one, "b": other}, ".png")
    (data / "cases.csv").write_text("case,role\na,\nb,unlabeled\n")
    assert check_cohort(data).errors == ()


def test_no_voxel_is_read_where_the_headers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semivox.cohort import palettes

    def refuse(*_: object) -> None:
        raise AssertionError("read")

    data = folder(tmp_path, dict(zip("ab", AGREE["one palette"], strict=True)), ".png")
    monkeypatch.setattr(palettes, "read_label", refuse)
    assert list(palettes.palette_faults(sorted((data / "labels").iterdir()))) == []
    save(data / "labels/b.png", *DISAGREE["an order that is swapped"][1])
    with pytest.raises(AssertionError, match="read"):
        list(palettes.palette_faults(sorted((data / "labels").iterdir())))


def test_a_broken_label_is_told_as_such_and_hides_no_other(tmp_path: Path) -> None:
    one, other = DISAGREE["an index of two colours"]
    data = folder(tmp_path, {"a": one, "b": one, "c": other}, ".png")
    (data / "labels/b.png").write_bytes((data / "labels/a.png").read_bytes()[:60])
    faults = {error.case: error.fault for error in check_cohort(data).errors}
    assert set(faults) == {"b", "c"}
    assert "palette" in faults["c"]


@pytest.mark.parametrize("names", [*itertools.permutations("abc")])
def test_whichever_file_comes_first(names: tuple[str, ...], tmp_path: Path) -> None:
    one, other = DISAGREE["an order that is swapped"]
    data = folder(tmp_path, dict(zip(names, (one, one, other), strict=True)), ".png")
    errors = check_cohort(data).errors
    assert errors
    assert all("palette" in error.fault for error in errors)
