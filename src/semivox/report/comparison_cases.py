"""Which cases of a comparison are worth a look, and their pictures: one case under every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from semivox.cohort import Case, Cohort, is_ct, is_there, read_case, read_label
from semivox.cohort.folder import scan_folder
from semivox.errors import DataError
from semivox.report.comparison_record import CellRecord, ComparisonRecord
from semivox.report.mask_files import mask_file
from semivox.report.slices import slice_record
from semivox.report.still import Still, outlines_of, still_of

MOST = 6
BUDGET = 1_400_000
"""Bytes of a case with all its masks."""


@dataclass(frozen=True)
class ChosenCase:
    """A case and why it is shown."""

    case: str
    why: str


@dataclass(frozen=True)
class Shown:
    """Of which labelled set and seed the pictures are: the one with most methods; then the one with most
    labelled cases, and its lowest seed. ``variants`` have it: the reference first, then best first."""

    labeled: str
    seed: int
    variants: tuple[str, ...]


@dataclass(frozen=True)
class CasePicture:
    """``record`` for the viewer; ``still`` its first slice, ``panels`` the outlines on it, one a method."""

    case: str
    why: str
    record: dict[str, Any]
    still: Still
    panels: tuple[Panel, ...]

    @property
    def wide(self) -> float:
        """How wide a panel is at least, in rem: flat slices need more."""
        return min(11.0, max(5.8, 6.5 * self.still.aspect**0.5))


@dataclass(frozen=True)
class Panel:
    """One method on the shown slice: SVG paths of its mask and the reference, and its foreground Dice."""

    name: str
    dice: float | None
    outlines: Markup


def shown_set(record: ComparisonRecord) -> Shown | None:
    """The labelled set and seed to show; None where no case was measured."""
    there: dict[tuple[str, int], list[str]] = {}
    for labeled, variant, seed in record.seed_dice:
        there.setdefault((labeled, seed), []).append(variant)
    if not there:
        return None

    def worth(place: tuple[str, int]) -> tuple[bool, int, float, int]:
        variants, cases = there[place], record.labeled_cases[place[0]]
        return record.reference in variants, len(variants), cases or 0.0, -place[1]

    labeled, seed = max(there, key=worth)
    ranked = [v for v in record.variants if v in there[labeled, seed]]
    ranked.sort(key=lambda variant: variant != record.reference)  # stable: the others stay best first
    return Shown(labeled, seed, tuple(ranked))


def choose_cases(record: ComparisonRecord, shown: Shown, most: int = MOST) -> list[ChosenCase]:
    """The reference's worst, median and best case by Dice, then those where methods disagree most.

    Disagreement is the distance between the quartiles of the methods' Dice, which one method that fails
    everywhere does not move. Without the reference the first method takes its place.
    """
    dice = {v: record.seed_dice[shown.labeled, v, shown.seed] for v in shown.variants}
    first = shown.variants[0]
    ranked = sorted(dice[first], key=lambda case: (dice[first][case], case))
    if not ranked:
        return []
    name = record.names[first]
    chosen: dict[str, str] = {}
    ranks = {"worst": 0, "median": (len(ranked) - 1) // 2, "best": -1}
    for word, rank in ranks.items():
        case = ranked[rank]
        chosen.setdefault(case, f"the {word} case of {name}")
    if len(shown.variants) > 1:
        spread = {case: _spread([of[case] for of in dice.values() if case in of]) for case in ranked}
        for case in sorted(ranked, key=lambda case: -spread[case]):
            if len(chosen) >= most:
                break
            chosen.setdefault(case, f"methods disagree: their Dice lies {spread[case]:.3f} apart (quartiles)")
    return [ChosenCase(case, why) for case, why in list(chosen.items())[:most]]


def case_pictures(
    record: ComparisonRecord,
    shown: Shown,
    chosen: Sequence[ChosenCase],
    test: Path | None = None,
    budget: int = BUDGET,
) -> tuple[list[CasePicture], list[str]]:
    """The pictures of the cases whose scan and masks are there, and sentences on what is not.

    Scans are found where the comparison found them, or in the data folder ``test``.
    """
    cells = [c for c in record.cells if (c.labeled, c.seed) == (shown.labeled, shown.seed) and c.finished]
    places, missing = _cases(record, shown.labeled, test)
    if not any(item.case in places for item in chosen):
        where = record.request.get("test") or record.request.get("data")
        return [], [*missing, f"the scans are not where the comparison found them ({where})"]
    pictures = []
    for item in chosen:
        if item.case not in places:
            missing.append(f"the scan of {item.case} is gone")
            continue
        cohort, case = places[item.case]
        try:
            pictures.append(_picture(record, shown, item, cohort, case, cells, budget))
        except DataError as error:
            missing.append(f"{item.case}: {error}")
    return pictures, missing


def _cases(
    record: ComparisonRecord, labeled: str, test: Path | None
) -> tuple[dict[str, tuple[Cohort, Case]], list[str]]:
    """Held-out cases whose image files are there, each with the cohort that describes it."""
    folders = [record.folder / "data" / labeled / fold / "held_out" for fold in record.folds]
    asked = [Path(text) for key in ("test", "data") if (text := record.request.get(key))]
    found: dict[str, tuple[Cohort, Case]] = {}
    faults = []
    for folder in [test, *folders, *asked]:
        if folder is None:
            continue
        try:
            cohort = scan_folder(folder).cohort
        except DataError as error:
            if folder == test:
                faults.append(str(error))
            continue
        for case in cohort.cases:
            if case.images and all(map(is_there, case.images)):
                found.setdefault(case.name, (cohort, case))
    return found, faults


def _picture(
    record: ComparisonRecord,
    shown: Shown,
    item: ChosenCase,
    cohort: Cohort,
    case: Case,
    cells: Sequence[CellRecord],
    budget: int,
) -> CasePicture:
    image = read_case(case)
    grid = image.array.shape[1:]
    labelled = case.label is not None and case.label.is_file()
    regions, label = cohort.regions, None
    if labelled and case.label is not None:
        label = read_label(case.label, image, regions=regions).array[0]
    masks = {}
    for variant in shown.variants:
        files = (mask_file(cell.masks, case.name) for cell in cells if cell.variant == variant)
        if (file := next(filter(None, files), None)) is not None:
            masks[variant] = read_label(file, image, regions=regions).array[0]
    if not masks:
        raise DataError("no method's mask is there", path=record.folder / "cells")
    for name, array in [*masks.items(), *([] if label is None else [("the label", label)])]:
        if array.shape != grid:
            raise DataError(f"{name} lies on another grid", found=array.shape, expected=grid)
    drawn = slice_record(
        case.name,
        image,
        {record.names[variant]: array for variant, array in masks.items()},
        label,
        dict(cohort.structures),
        parts=regions.parts,
        budget=budget,
        spacing_known=cohort.spacing_known,
        ct=is_ct(cohort.channels[0]),
    )
    panels = []
    for number, variant in enumerate(masks):
        dice = record.seed_dice[shown.labeled, variant, shown.seed].get(case.name)
        panels.append(Panel(record.names[variant], dice, outlines_of(drawn, number)))
    return CasePicture(case.name, item.why, drawn, still_of(drawn), tuple(panels))


def _spread(values: Sequence[float]) -> float:
    low, high = np.percentile(values, [25, 75])
    return float(high - low)
