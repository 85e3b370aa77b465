"""The evaluation as a table for people: a row a class, then the cases to look at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semivox.contents import MEAN_OF_CLASSES
from semivox.evaluation.intervals import few_patients
from semivox.evaluation.metrics import DICE, empty_masks, metrics_for_people, spacing_was_known
from semivox.evaluation.paired import case_value, patient_count

LOWEST = 5


def evaluation_table(evaluation: Mapping[str, Any]) -> RenderableType:
    """Means with 95 % intervals per class, the lowest cases, and what was left out, for a terminal.

    The size does not grow with the number of cases. Numbers that are null everywhere get no row.
    """
    mean, ci95, classes = evaluation["mean"], evaluation["ci95"], evaluation["classes"]
    keys = [*classes, *(["foreground"] if len(classes) > 1 else [])]
    cases = evaluation["cases"]
    patients = patient_count(evaluation)
    title = Text(f"{len(cases)} cases, mean [95 % interval over {patients} patients]")
    table = Table()
    table.add_column("")
    for key in keys:
        table.add_column(escape(classes.get(key, MEAN_OF_CLASSES)), justify="right")
    tolerance_mm = evaluation.get("policy", {}).get("tolerance_mm")
    for metric in metrics_for_people(spacing_was_known(mean.values())):
        name = metric.name
        if any(mean[key].get(name) is not None for key in keys):
            cells = (metric.text(mean[key].get(name), ci95[key].get(name)) for key in keys)
            table.add_row(metric.title(tolerance_mm=tolerance_mm), *cells)
    return Group(title, table, *_lowest(cases, classes), *_notes(evaluation))


def _lowest(cases: Mapping[str, Any], classes: Mapping[str, str]) -> list[RenderableType]:
    dice = {case: case_value(rows, "dice") for case, rows in cases.items()}
    order = sorted((case for case in dice if dice[case] == dice[case]), key=dice.__getitem__)[:LOWEST]
    if len(cases) < 2:
        return []
    table = Table()
    table.add_column("case", overflow="fold")
    keys = [*classes, *(["foreground"] if len(classes) > 1 else [])]
    for key in keys:
        table.add_column(escape(classes.get(key, MEAN_OF_CLASSES)), justify="right")
    for case in order:
        numbers = (case_value(cases[case], DICE.name, key) for key in keys)
        table.add_row(Text(case), *map(DICE.text, numbers))
    return [Text("lowest Dice"), table]


def _notes(evaluation: Mapping[str, Any]) -> list[RenderableType]:
    notes = []
    if rough := few_patients(patient_count(evaluation)):
        notes.append(Text(rough, style="yellow"))
    if empty := empty_masks(evaluation):
        text = f"one of two masks is empty {empty} times: distances are the image's diagonal there"
        notes.append(Text(text, style="yellow"))
    for key, text in (
        ("missing", "counted as empty, no prediction"),
        ("unmatched", "left out, no reference"),
        ("refused", "refused by the model"),
    ):
        if names := list(evaluation.get(key, [])):
            more = f", ... ({len(names)})" if len(names) > LOWEST else ""
            notes.append(Text(f"{text}: {', '.join(names[:LOWEST])}{more}", style="yellow"))
    return list(notes)
