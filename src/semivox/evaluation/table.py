"""The evaluation as a table for people: a row a class, then the cases to look at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semivox.evaluation.paired import case_value

# metric, heading, decimals
COLUMNS = (
    ("dice", "Dice", 4),
    ("jaccard", "Jaccard", 4),
    ("hd95_mm", "HD95 mm", 2),
    ("assd_mm", "ASSD mm", 2),
    ("asd_mm", "ASD mm", 2),
    ("nsd", "NSD", 4),
    ("volume_error_ml", "Volume error ml", 2),
    ("volume_error_rel", "relative", 3),
    ("hd95_vox", "HD95 voxels", 2),
    ("asd_vox", "ASD voxels", 2),
)
LOWEST = 5


def evaluation_table(evaluation: Mapping[str, Any]) -> RenderableType:
    """Means with 95 % intervals per class, the lowest cases, and what was left out, for a terminal.

    The size does not grow with the number of cases. Numbers that are null everywhere get no row.
    """
    mean, ci95, classes = evaluation["mean"], evaluation["ci95"], evaluation["classes"]
    keys = [*classes, *(["foreground"] if len(classes) > 1 else [])]
    cases = evaluation["cases"]
    title = Text(f"{len(cases)} cases, mean [95 % interval over patients]")
    table = Table()
    table.add_column("")
    for key in keys:
        table.add_column(escape(classes.get(key, key)), justify="right")
    for metric, heading, decimals in COLUMNS:
        if any(mean[key][metric] is not None for key in keys):
            cells = (_cell(mean[key][metric], ci95[key][metric], decimals) for key in keys)
            table.add_row(heading, *cells)
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
        table.add_column(escape(classes.get(key, key)), justify="right")
    for case in order:
        numbers = (case_value(cases[case], "dice", key) for key in keys)
        table.add_row(Text(case), *("-" if n != n else f"{n:.4f}" for n in numbers))
    return [Text("lowest Dice"), table]


def _notes(evaluation: Mapping[str, Any]) -> list[RenderableType]:
    notes = []
    for key, text in (
        ("missing", "counted as empty, no prediction"),
        ("unmatched", "left out, no reference"),
        ("refused", "refused by the model"),
    ):
        if names := list(evaluation.get(key, [])):
            more = f", ... ({len(names)})" if len(names) > LOWEST else ""
            notes.append(Text(f"{text}: {', '.join(names[:LOWEST])}{more}", style="yellow"))
    return list(notes)


def _cell(mean: float | None, interval: list[float] | None, decimals: int) -> str:
    if mean is None:
        return "-"
    text = f"{mean:.{decimals}f}"
    if interval is not None:
        text += f" [{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]"
    return text
