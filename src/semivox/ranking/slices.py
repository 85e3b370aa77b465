"""Slices in place of scans: a few in many scans, where the prediction is least certain, spread over a scan.

A whole volume takes an hour to draw, and its neighbouring slices show nearly the same. What is drawn in a few
slices trains as well (:mod:`semivox.cohort.partly_drawn`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from semivox.cohort import (
    Case,
    Cohort,
    ending_of,
    is_somebodys,
    mark_of,
    mask_name,
    read_case,
    scan_ending,
    stem_of,
    write_mask,
)
from semivox.errors import DataError
from semivox.files import inside, make_folder, remove_file, write_text
from semivox.prepare import Grid
from semivox.ranking.ranked_scan import RankedScan

TABLE, TEMPLATES = "slices.csv", "slices"
A_SCAN = 3
"""Slices of a scan, if nobody says how many scans."""


@dataclass(frozen=True)
class SliceScores:
    """``scores[i]``: nats of entropy in slice i across ``axis`` of the scan's own axes, its thick one."""

    axis: int
    scores: np.ndarray


@dataclass(frozen=True)
class ChosenSlice:
    """``chosen``: its place in the choice; ``slice`` counts from 0 across ``axis`` of the file's own axes."""

    chosen: int
    case: str
    patient: str
    axis: int
    slice: int
    score: float


def slice_scores(grid: Grid, entropies: np.ndarray) -> SliceScores:
    """``entropies`` (working), nats, summed over each slice across the working grid's last axis, which is the
    coarsest; a slice of the file has the sum of the working slice that its middle lies in."""
    sums = entropies.reshape(-1, entropies.shape[-1]).sum(0, dtype=np.float64)
    n, orientation = grid.native_shape[-1], grid.orientation
    scores = sums[((np.arange(n) + 0.5) * len(sums) / n).astype(int)]
    return SliceScores(orientation.permutation[-1], scores[::-1] if orientation.flips[-1] else scores)


def scans_for(slices: int, available: int) -> int:
    """How many scans so many slices are spread over."""
    return min(available, math.ceil(slices / A_SCAN))


def choose_slices(
    scans: Sequence[RankedScan], scores: Mapping[str, SliceScores], count: int
) -> list[ChosenSlice]:
    """``count`` slices of ``scans``, as evenly as can be, or as many as there are; a scan that was chosen
    first has one more. In the order of the scans, the highest score of each first."""
    share, more = divmod(count, max(1, len(scans)))
    found = []
    for i, scan in enumerate(scans):
        of_scan = scores[scan.case]
        for index in spread(of_scan.scores, share + (i < more)):
            score = float(of_scan.scores[index])
            found.append((scan.case, scan.patient, of_scan.axis, index, score))
    return [ChosenSlice(place, *each) for place, each in enumerate(found, 1)]


def spread(scores: np.ndarray, count: int) -> list[int]:
    """Up to ``count`` indices of high ``scores``, each at least half an even spacing from the others: the
    range in which scores are above a tenth of the largest, over ``2 count``. Greedy, ties to the first."""
    high = np.flatnonzero(scores > 0.1 * scores.max(initial=0.0))
    if not len(high) or not count:
        return []
    apart = max(1, (int(high[-1]) - int(high[0]) + 1) // (2 * count))
    left, chosen = np.array(scores, np.float64), list[int]()
    while len(chosen) < count and left.max() > 0:
        best = int(left.argmax())
        chosen.append(best)
        left[max(0, best - apart + 1) : best + apart] = 0
    return chosen


def refuse_drawn(out: Path) -> None:
    """Raise DataError where somebody has drawn in a label of an earlier choice: it would be written anew."""
    if drawn := [path for path in _templates(out) if is_somebodys(path)]:
        raise DataError(
            f"{len(drawn)} label(s) to draw in were drawn in, and would be lost",
            path=drawn[0].parent,
            found=", ".join(path.name for path in drawn[:5]) + (" ..." if len(drawn) > 5 else ""),
            expected="labels that nobody has edited",
            remedy="move them to the data folder, or choose another --out",
        )


def _templates(out: Path) -> list[Path]:
    folder = out / TEMPLATES
    return sorted(p for p in folder.iterdir() if ending_of(p) is not None) if folder.is_dir() else []


def write_slices(
    out: Path,
    chosen: Sequence[ChosenSlice],
    cases: Mapping[str, Case],
    values: Sequence[int],
    ignore: int | None,
) -> int:
    """Write ``slices.csv``, and for each scan a label to draw in: background in the chosen slices, ``ignore``
    in all others (None: the value after the last one), with the mark of a mask that nobody has edited, so
    that ``check`` warns of one in which nothing was drawn. Those of an earlier choice that nobody has edited
    are taken away. Returns the value of ``ignore``."""
    number = max(values) + 1 if ignore is None else ignore
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(ChosenSlice)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(each), "score": f"{each.score:.5g}"} for each in chosen)
    write_text(out / TABLE, text.getvalue())
    make_folder(out / TEMPLATES)
    names = dict.fromkeys(each.case for each in chosen)
    for path in _templates(out):
        if stem_of(path) not in names and not is_somebodys(path):
            remove_file(out, TEMPLATES, path.name)
    for name in names:
        scan, own = read_case(cases[name]), [each for each in chosen if each.case == name]
        label = np.full(scan.shape, number, np.min_scalar_type(number))
        np.moveaxis(label, own[0].axis, 0)[[each.slice for each in own]] = 0
        place = inside(out, TEMPLATES, mask_name(name, scan_ending(cases[name].images[0])))
        write_mask(place, label, scan, note=mark_of(label))
    return number


def slices_to_draw(
    out: Path,
    count: int | None,
    rows: Sequence[RankedScan],
    scores: Mapping[str, SliceScores],
    cohort: Cohort,
) -> tuple[list[ChosenSlice], list[str]]:
    """The slices of the chosen ``rows``, written into ``out``, and what a reader has to know of them; nothing
    for ``count`` None."""
    if count is None:
        return [], []
    scans = sorted((row for row in rows if row.chosen is not None), key=lambda row: row.chosen or 0)
    chosen = choose_slices(scans, scores, count)
    ignore = write_slices(out, chosen, {c.name: c for c in cohort.cases}, cohort.values, cohort.ignore)
    notes = [
        f"draw in the labels of {out / TEMPLATES} and move them to the data folder: the chosen slices are "
        f"background there, all others {ignore}, which is to be ignored"
    ]
    if cohort.ignore is None:
        notes.append(
            f'the data folder has no such label yet: add "ignore": {ignore} to labels in dataset.json'
        )
    if len(chosen) < count:
        notes.append(f"{len(chosen)} slices are named of {count}: no others stand out in these scans")
    return chosen, notes
