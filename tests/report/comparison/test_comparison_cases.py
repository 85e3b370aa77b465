from __future__ import annotations

import base64
import glob
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semivox.cohort import Volume, load_cohort, read_label
from semivox.cohort.formats import write_mask
from semivox.report.comparison_cases import (
    CasePicture,
    ChosenCase,
    Shown,
    case_pictures,
    choose_cases,
    shown_set,
)
from semivox.report.comparison_record import read_comparison

HandMade = Callable[..., Path]
TABLE = np.array(
    [  # methods x cases
        [0.50, 0.90, 0.70, 0.60, 0.80, 0.75, 0.65, 0.85],
        [0.50, 0.90, 0.70, 0.50, 0.80, 0.65, 0.65, 0.85],
        [0.51, 0.91, 0.71, 0.90, 0.81, 0.65, 0.66, 0.86],
        [0.52, 0.92, 0.72, 0.95, 0.82, 0.90, 0.67, 0.87],
        [0.53, 0.93, 0.05, 0.60, 0.83, 0.90, 0.68, 0.00],  # fails on two cases that the others agree on
    ]
)
METHODS = ["supervised", "a", "b", "c", "d"]


def table(method: int, labeled: str, seed: int, case: int) -> float:
    return float(TABLE[method, case])


def shown_of(folder: Path) -> Shown:
    shown = shown_set(read_comparison(folder))
    assert shown is not None
    return shown


def pictures_of(folder: Path, test: Path | None = None) -> tuple[list[CasePicture], list[str]]:
    record, shown = read_comparison(folder), shown_of(folder)
    return case_pictures(record, shown, choose_cases(record, shown), test)


def test_worst_median_best_and_then_where_methods_disagree(hand_made: HandMade) -> None:
    folder = hand_made(METHODS, cases=8, dice=table)
    chosen = choose_cases(read_comparison(folder), shown_of(folder))
    assert [c.case for c in chosen[:5]] == ["case_0", "case_2", "case_1", "case_3", "case_5"]
    assert [c.why for c in chosen[:3]] == [f"the {w} case of supervised" for w in ("worst", "median", "best")]
    low, high = np.percentile(TABLE[:, 3], [25, 75])
    assert chosen[3].why == f"methods disagree: their Dice lies {high - low:.3f} apart (quartiles)"
    assert len(chosen) == len({c.case for c in chosen}) == 6


@pytest.mark.parametrize(("cases", "expected"), [(1, 1), (2, 2), (3, 3)])
def test_few_cases_are_each_shown_once(cases: int, expected: int, hand_made: HandMade) -> None:
    folder = hand_made(METHODS, cases=cases, dice=table)
    chosen = choose_cases(read_comparison(folder), shown_of(folder))
    assert len({c.case for c in chosen}) == len(chosen) == expected


def test_without_others_there_is_nothing_to_disagree_on(hand_made: HandMade) -> None:
    folder = hand_made(METHODS[:1], cases=8, dice=table)
    assert len(choose_cases(read_comparison(folder), shown_of(folder))) == 3


def test_the_set_with_most_methods_is_shown_the_reference_first(hand_made: HandMade) -> None:
    states = {(1, "16", "test", 0): "failed", (0, "8", "test", 0): "free"}
    folder = hand_made(
        METHODS[:3], labeled=("4", "8", "16"), seeds=(0, 1), cases=8, counts={"4": 4, "16": 16},
        states=states, dice=lambda m, s, seed, c: 0.5 + 0.1 * m + 0.01 * c,
    )  # fmt: skip
    shown = shown_of(folder)
    assert (shown.labeled, shown.seed) == ("16", 1), "most methods, then most labels, then the lowest seed"
    assert shown.variants == ("supervised", "b", "a")
    none = hand_made(["supervised"], states={(0, "8", "test", 0): "free"})
    assert shown_set(read_comparison(none)) is None


def test_a_picture_has_a_panel_a_method(hand_made: HandMade, held_out_phantoms: Path) -> None:
    folder = hand_made(["supervised", "cps"], test=held_out_phantoms, cases=8)
    pictures, missing = pictures_of(folder)
    assert missing == []
    assert len(pictures) == 6
    record = read_comparison(folder)
    for picture in pictures:
        assert [panel.name for panel in picture.panels] == ["supervised", "cps"]
        for panel in picture.panels:
            assert panel.dice == record.case_dice("8", panel.name)[picture.case]
        assert [mask["name"] for mask in picture.record["masks"]] == ["supervised", "cps", "reference"]
        plane = picture.record["planes"][0]
        sheet = Image.open(io.BytesIO(base64.b64decode(picture.still.sheet.partition(",")[2])))
        assert sheet.size == picture.still.tile == tuple(plane["tile"])
        whole = Image.open(io.BytesIO(base64.b64decode(plane["image"].partition(",")[2])))
        down, across = divmod(plane["start"], plane["across"])
        width, height = sheet.size
        part = whole.crop((across * width, down * height, (across + 1) * width, (down + 1) * height))
        assert np.abs(np.asarray(part, float) - np.asarray(sheet, float)).mean() < 6
        same, moved = (paths(panel.outlines) for panel in picture.panels)
        assert same["mask"] == same["truth"], "the first method's masks are the references"
        assert moved["truth"] == same["truth"]
        assert moved["mask"] != same["mask"]


@pytest.mark.parametrize("case", ["scan1", "a[1]", "1.2.840"])
def test_a_case_is_shown_with_its_own_masks(
    case: str, hand_made: HandMade, held_out_phantoms: Path, tmp_path: Path
) -> None:
    test = tmp_path / "renamed"
    for inner, channel in (("imagesTr", "_0000"), ("labelsTr", "")):
        (test / inner).mkdir(parents=True)
        files = sorted((held_out_phantoms / inner).iterdir())
        for path, name in zip(files, (case, f"{case}.2"), strict=False):
            shutil.copy(path, test / inner / f"{name}{channel}.nii.gz")
    shutil.copy(held_out_phantoms / "dataset.json", test)
    folder = hand_made(["supervised", "cps"], test=test, cases=2)
    for mask in folder.rglob(f"masks/{glob.escape(case)}.2.*"):
        mask.write_bytes(b"another case's")
    for mask in [*folder.rglob(f"masks/{glob.escape(case)}.nii.gz")]:
        mask.with_name("a1.nii.gz").write_bytes(b"another case's")
    (picture,), (missing,) = pictures_of(folder)
    assert picture.case == case
    assert [panel.name for panel in picture.panels] == ["supervised", "cps"]
    assert missing.startswith(f"{case}.2: ")


def paths(svg: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"truth": [], "mask": []}
    for kind, line in re.findall(r'<path class="(\w+)" stroke="#\w+" fill="#\w+" d="([^"]+)"/>', svg):
        found[kind].append(line)
    return found


def test_paths_enclose_the_mask_of_the_slice(hand_made: HandMade, held_out_phantoms: Path) -> None:
    """The area within a path, by the shoelace formula, is about that of the reference's largest slice."""
    folder = hand_made(["supervised"], test=held_out_phantoms)
    record, shown = read_comparison(folder), shown_of(folder)
    # room enough that nothing is cropped away
    pictures, _ = case_pictures(record, shown, choose_cases(record, shown), budget=20_000_000)
    cases = {case.name: case for case in load_cohort(held_out_phantoms).cases}
    for picture in pictures:
        label = read_label(cases[picture.case].label)
        areas = [(label.array[0] == value).sum((0, 1)) for value in (1, 2)]
        largest = int(np.argmax(sum(areas)))
        units = picture.record["units"]
        columns = label.array.shape[1] / picture.still.tile[0] / units
        rows = label.array.shape[2] / picture.still.tile[1] / units
        there = [area[largest] for area in areas if area[largest]]
        for line, area in zip(paths(picture.panels[0].outlines)["truth"], there, strict=True):
            inside = abs(sum(shoelace(ring) for ring in line.split("z") if ring)) * columns * rows
            assert inside == pytest.approx(area, rel=0.15)


def shoelace(ring: str) -> float:
    first, _, steps = ring.removeprefix("M").partition("l")
    numbers = np.array(steps.split(), float).reshape(-1, 2)
    points = np.cumsum(np.vstack([np.array(first.split(), float), numbers]), axis=0)
    x, y = points.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def test_scans_are_found_where_the_comparison_found_them_or_where_one_says(
    hand_made: HandMade, held_out_phantoms: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    folder = hand_made(["supervised", "cps"], test=held_out_phantoms)
    content = (folder / "comparison.json").read_text()
    (folder / "comparison.json").write_text(content.replace(str(held_out_phantoms), "/gone/dev"))
    pictures, missing = pictures_of(folder)
    assert pictures == []
    assert missing == ["the scans are not where the comparison found them (/gone/dev)"]
    shutil.copytree(held_out_phantoms, moved)
    pictures, missing = pictures_of(folder, moved)
    assert (len(pictures), missing) == (6, [])
    first = pictures[0].case
    next((moved / "imagesTr").glob(f"{first}_0000*")).unlink()
    pictures, missing = pictures_of(folder, moved)
    assert len(pictures) == 5
    assert missing == [f"the scan of {first} is gone"]
    pictures, missing = pictures_of(folder, tmp_path / "nowhere")
    assert pictures == []
    assert "no such folder" in missing[0]


def test_a_mask_that_is_gone_or_on_another_grid_is_left_out(
    hand_made: HandMade, held_out_phantoms: Path
) -> None:
    folder = hand_made(["supervised", "cps"], test=held_out_phantoms)
    record, shown = read_comparison(folder), shown_of(folder)
    chosen = choose_cases(record, shown)[:2]
    masks = folder / "cells/cps/8/test/0/evaluations/test/masks"
    next(masks.glob(f"{chosen[0].case}.*")).unlink()
    other = folder / "cells/supervised/8/test/0/evaluations/test/masks"
    label = read_label(next(other.glob(f"{chosen[1].case}.*")))
    smaller = Volume(label.array[:, 1:], label.affine, label.source)
    write_mask(other / chosen[1].case, smaller.array[0], smaller)
    pictures, missing = case_pictures(record, shown, chosen)
    assert [panel.name for panel in pictures[0].panels] == ["supervised"]
    assert len(pictures) == 1
    assert missing[0].startswith(f"{chosen[1].case}: ")


def test_names_are_no_patterns(hand_made: HandMade, held_out_phantoms: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(held_out_phantoms, data)
    first = load_cohort(data).cases[0]
    shutil.copy(first.images[0], data / "imagesTr/a[1]_0000.nii.gz")
    shutil.copy(first.label, data / "labelsTr/a[1].nii.gz")
    folder = hand_made(["supervised"], test=data)
    record, shown = read_comparison(folder), shown_of(folder)
    pictures, missing = case_pictures(record, shown, [ChosenCase("a[1]", "its name")])
    assert (len(pictures), missing) == (1, [])
