"""The part of a run's page on one set of held-out cases: what is said, tabled, drawn and shown of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

from semivox.evaluation import Metric, case_value, empty_masks, few_patients, hausdorff, patient_count
from semivox.report.figure_rows import PlacedFigures, draw_rows
from semivox.report.held_out_figures import FIGURES, Subject, cases_said, counted
from semivox.report.held_out_tables import (
    VOLUME_ERROR,
    case_table,
    cases_csv,
    class_table,
    classes_csv,
    empty_note,
    in_mm,
    total,
)
from semivox.report.page import data_address, number, percent
from semivox.report.run_record import HeldOut

WORST, BEST, REVIEW, UNKNOWN = 3, 2, 4, 3
"""How many cases are shown in slices: of lowest and of highest Dice, further ones to review, and cases
without a reference."""
OTHERS = 36
"""So many further cases have a picture of one slice."""
LISTED = 8
"""Names in a sentence before it says how many more there are."""


@dataclass(frozen=True)
class Shown:
    """A case to show in slices: ``key`` is its id in the page, ``why`` it was chosen, ``facts`` its
    numbers."""

    key: str
    case: str
    why: list[str]
    facts: str


@dataclass
class Section:
    """What the template needs, in the order of the page. ``heading`` and ``lead`` are plain text;
    ``over`` says of what a mean and its interval are, ``empty`` what a marked distance is; ``others`` are
    cases that are not ``shown`` but have a picture, ``left_out`` how many have none; ``downloads`` are
    (file name, address)."""

    key: str
    heading: str
    lead: str
    tiles: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    over: str = ""
    empty: str = ""
    definitions: dict[str, Any] = field(default_factory=dict)
    downloads: list[tuple[str, str]] = field(default_factory=list)
    classes: dict[str, Any] | None = None
    cases: dict[str, Any] | None = None
    review: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    others: list[Shown] = field(default_factory=list)
    left_out: int = 0
    figures: list[PlacedFigures] = field(default_factory=list)


def section_of(held: HeldOut, card: Mapping[str, Any] | None) -> Section:
    """All but the slices. ``card`` is the run's ``model.json``. Where the cases were trained on, numbers are
    left out."""
    key = _slug(held.name)
    section = Section(key, f"Held-out cases: {where(held)}", lead_of(held))
    if held.trained_on:
        section.heading = f"Cases of {where(held)}"
        return section
    voxels = "pixels" if ((card or {}).get("plan") or {}).get("dims") == 2 else "voxels"
    section.notes = _notes(held)
    content = held.content
    section.shown = _shown(held, key, voxels)
    section.review = [
        {"case": case, "flag": row["flag"], "reason": row.get("reason") or ""}
        for case, row in held.rows.items()
        if row.get("flag") in ("review", "refuse")
    ]
    section.warnings = _warnings(held, card)
    known = {one.case: one.key for one in section.shown}
    section.cases = case_table(held, known, voxels)
    section.others = _others(held, key, section.cases["rows"], known, voxels)
    section.left_out = len(section.cases["rows"]) - len(known) - len(section.others)
    section.downloads = [("cases.csv", data_address("text/csv", cases_csv(held)))]
    if content is not None:
        section.classes = class_table(content, voxels)
        section.over, section.empty = _over(held, content), empty_note(content)
        section.definitions = dict(content.get("policy", {}))
        section.downloads.insert(0, ("classes.csv", data_address("text/csv", classes_csv(content))))
        section.tiles = _tiles(content, section.review, hausdorff(in_mm(held)), voxels)
        section.figures = draw_rows(FIGURES, Subject(held, voxels), key)
    return section


def where(held: HeldOut) -> str:
    """The data folder's last two names, or the evaluation's name."""
    return "/".join(held.data.parts[-2:]) if held.data is not None else held.name


def lead_of(held: HeldOut) -> str:
    """The one line that says what the model is worth on these cases."""
    if held.trained_on:
        return (
            f"{len(held.trained_on)} of the {len(held.rows)} cases of {where(held)} were trained on with "
            "their labels, so nothing found on this folder says what the model is worth; no number is shown."
        )
    if held.content is None:
        return (
            f"{len(held.rows)} cases of {where(held)} were predicted. None has a reference to measure with."
        )
    mean, ci = held.content["mean"]["foreground"]["dice"], held.content["ci95"]["foreground"]["dice"]
    classes, cases = len(held.classes), len(held.content["cases"])
    patients = patient_count(held.content)
    over = f", mean of {classes} classes" if classes > 1 else ""
    interval = f" [{number(ci[0])}, {number(ci[1])}]" if ci else ""
    whom = f"{cases} held-out cases ({patients} patients)"
    whom = "1 held-out case" if cases == 1 else whom
    return f"Dice {number(mean)}{interval} on {whom} of {where(held)}{over}."


def _over(held: HeldOut, content: Mapping[str, Any]) -> str:
    """Of what the means and intervals are, and when they were measured."""
    cases, patients = cases_said(len(content["cases"])), counted(patient_count(content), "patient")
    when = "" if held.measured is None else f" Measured on {held.measured:%Y-%m-%d}."
    return f"The mean over {cases}, and beneath it its 95\u00a0% interval over {patients}.{when}"


def _others(
    held: HeldOut, key: str, rows: Sequence[dict[str, Any]], shown: Mapping[str, str], voxels: str
) -> list[Shown]:
    """The first cases of the table that are not shown in slices, in its order; its rows lead to them."""
    others = []
    for i, row in enumerate([row for row in rows if row["case"] not in shown][:OTHERS], 1):
        facts = _facts(held, row["case"], row["cells"][0][0], voxels, short=True)
        others.append(Shown(f"{key}-other-{i}", row["case"], [], facts))
        row["link"] = others[-1].key
    return others


def _notes(held: HeldOut) -> list[str]:
    notes = []
    if held.seen:
        notes.append(
            f"{len(held.seen)} of these cases were among the unlabelled scans of the run: it saw the scans, "
            "not their labels."
        )
    content = held.content or {}
    if content and (rough := few_patients(patient_count(content))):
        notes.append(f"{rough[0].upper()}{rough[1:]}.")
    for key, text in (
        ("missing", "counted as an empty mask for want of a prediction"),
        ("unmatched", "without a reference and so without a Dice"),
        ("refused", "refused by the model"),
    ):
        if names := list(content.get(key, [])):
            notes.append(f"{cases_said(len(names))} {text}: {_listed(names)}.")
    if held.absent:
        what = f"{counted(len(held.absent), 'prediction')} of what is not among the cases of {where(held)}"
        notes.append(f"Left out: {what} any more ({_listed(held.absent)}).")
    return notes


def _tiles(
    content: Mapping[str, Any], review: Sequence[Mapping[str, Any]], distance: Metric, voxels: str
) -> list[tuple[str, str]]:
    """The numbers to see at once: (number, what it is)."""
    mean, empty = content["mean"]["foreground"], empty_masks(content)
    tiles = [(number(mean["dice"]), "mean Dice")]
    if worst := content.get("worst", {}).get("foreground"):
        tiles.append((number(worst["dice"]), f"lowest Dice, {worst['case']}"))
    if (far := mean.get(distance.name)) is not None:
        unit = "mm" if distance.unit == "mm" else voxels
        but = f", {counted(empty, 'empty mask')} as the image's diagonal" if empty else ""
        tiles.append((f"{number(far, distance.decimals)} {unit}", f"mean {distance.heading}{but}"))
    if (error := mean.get(VOLUME_ERROR.name)) is not None:
        tiles.append((percent(error, VOLUME_ERROR.decimals), f"mean {VOLUME_ERROR.heading.lower()}"))
    return [*tiles, (f"{len(review)} of {len(content['cases'])}", "cases to review")]


def _shown(held: HeldOut, key: str, voxels: str) -> list[Shown]:
    """The cases to show in slices, each once, with every reason it was chosen for."""
    cases = (held.content or {}).get("cases", {})
    dice = {case: value for case, row in cases.items() if (value := case_value(row, "dice")) == value}
    order = sorted(dice, key=dice.__getitem__)
    why: dict[str, list[str]] = {}

    def choose(names: Iterable[str], reason: str) -> None:
        for name in names:
            why.setdefault(name, []).append(reason)

    if len(order) <= WORST + 1 + BEST:
        choose(order, "held-out case")
    else:
        choose(order[:WORST], "lowest Dice")
        choose([name for name in order if dice[name] == median_low(dice.values())][:1], "median Dice")
        choose(order[-BEST:], "highest Dice")
    flagged = [c for c, row in held.rows.items() if row.get("flag") == "review"]
    choose([c for c in flagged if c in why], "to review")
    choose([c for c in flagged if c not in why][:REVIEW], "to review")
    unknown = [c for c in held.rows if c not in cases]
    choose([c for c in unknown if c in why], "no reference")
    choose([c for c in unknown if c not in why][:UNKNOWN], "no reference")
    return [
        Shown(f"{key}-case-{i}", case, reasons, _facts(held, case, dice.get(case), voxels))
        for i, (case, reasons) in enumerate(why.items(), 1)
    ]


def _facts(held: HeldOut, case: str, dice: float | None, voxels: str, short: bool = False) -> str:
    found = (held.content or {}).get("cases", {}).get(case, {})
    facts = [] if dice is None else [f"Dice {number(dice)}"]
    if short:
        return facts[0] if facts else "no reference"
    if len(found) > 1:
        of_classes = (f"{held.classes.get(v, v)} {number(row.get('dice'))}" for v, row in found.items())
        facts[-1:] = [f"Dice {number(dice)} ({', '.join(of_classes)})"]
    distance = hausdorff(in_mm(held))
    if not math.isnan(far := case_value(found, distance.name)):
        unit = "mm" if distance.unit == "mm" else voxels
        facts.append(f"{distance.heading} {number(far, distance.decimals)} {unit}")
    if (volume := total(held.rows.get(case, {}), "volume_ml")) is not None:
        facts.append(f"{number(volume, 1)} ml")
    return " · ".join(facts)


def _warnings(held: HeldOut, card: Mapping[str, Any] | None) -> list[str]:
    """What is odd among the predictions, a sentence a kind of oddity."""
    training = ((card or {}).get("training") or {}).get("classes", {})
    may_be_empty = {str(value) for value in (card or {}).get("may_be_empty", [])}
    sentences = []
    for value, name in held.classes.items():
        rows = {case: row for case, row in held.rows.items() if value in (row.get("voxels") or {})}
        empty = [case for case, row in rows.items() if row["voxels"][value] == 0]
        if empty and value not in may_be_empty:
            sentences.append(f"{name}: no voxel in {cases_said(len(empty))} ({_listed(empty)}).")
        most = (training.get(value, {}).get("components") or [1, 1])[1]
        pieces = {case: row["components"].get(value, 0) for case, row in rows.items()}
        many = sorted((c for c in pieces if pieces[c] > most), key=pieces.__getitem__, reverse=True)
        if many:
            counted = _listed([f"{case}: {pieces[case]}" for case in many])
            sentences.append(
                f"{name}: more pieces than in any training label (at most {most}) in {cases_said(len(many))} "
                f"({counted})."
            )
        touching = [case for case, row in rows.items() if row["border_contact"].get(value)]
        if touching:
            sentences.append(
                f"{name}: touches the scan's border in {cases_said(len(touching))} ({_listed(touching)})."
            )
    failed = [case for case, row in held.rows.items() if row.get("status") == "failed"]
    if failed:
        sentences.append(f"No prediction could be made of {cases_said(len(failed))} ({_listed(failed)}).")
    return sentences


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _slug(name: str) -> str:
    """A name as the beginning of ids: other characters than letters and digits become their number."""
    return "of-" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c)}-" for c in name)
