"""A comparison for people: one row a labelled set and method, and in words who gains and who trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semivox.duration import show_duration
from semivox.evaluation.intervals import few_patients
from semivox.evaluation.metrics import DICE, hausdorff, spacing_was_known

Content = Mapping[str, Any]
FEW_CLASSES = 6
VERDICT_WORDS = {
    "reference": "reference",
    "gains": "gains",
    "trails": "trails",
    "open": "no difference shown",
    "alone": "not comparable",
    "unfinished": "not finished",
}
"""A verdict of ``comparison.json`` -> what tables, pages and figures call it."""


def comparison_table(content: Content) -> RenderableType:
    """The content of ``comparison.json`` for a terminal."""
    header, rows = table_rows(content)
    table = Table(*(escape(name) for name in header))
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    lines = [Text(line, style=style) for line, style in said(content)]
    return Group(Text(title(content)), table, *lines)


def comparison_markdown(content: Content) -> str:
    """The same as a page of Markdown (``table.md``)."""
    header, rows = table_rows(content)
    table = [header, ["---"] * len(header), *rows]
    grid = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table)
    lines = "\n".join(f"* {line}" for line, _ in said(content))
    return f"{title(content)}\n\n{grid}\n" + (f"\n{lines}\n" if lines else "")


def title(content: Content) -> str:
    """What was measured, on how many cases, and what the brackets hold."""
    states = [cell["state"] for cell in content["cells"]]
    count = f"{states.count('finished')} of {len(states)} cells finished"
    how = "cross-validation by patient" if len(content["folds"]) > 1 else "held-out cases"
    return f"{how}; {count}; mean [95 % interval over {_patients(content)}patients and seeds]"


def table_rows(content: Content) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table, as text."""
    results = content["results"]
    distance = hausdorff(spacing_was_known(r["mean"]["foreground"] for r in results if "mean" in r))
    several = any(2 <= len(r.get("classes", {})) <= FEW_CLASSES for r in results)
    header = ["labelled", "method", "seeds", "steps", "time", DICE.title(), distance.title(), "worst Dice"]
    header += [f"Dice minus {content['reference']}", "better : worse", "verdict"]
    oracle = any(r.get("gap_closed") is not None for r in results)
    header += ["share of the gap to all labels"] * oracle
    header += ["Dice of each class"] * several
    rows = []
    for r in results:
        cells = [c for c in content["cells"] if (c["variant"], c["labeled"]) == (r["variant"], r["labeled"])]
        row = [r["labeled"], r["variant"], str(len(r["seeds"])), *_cost(cells)]
        if not r["seeds"]:
            rows.append([*row, *["-"] * (len(header) - len(row))])
            continue
        worst = r["worst"]
        row += [
            *(
                metric.text(r["mean"]["foreground"][metric.name], r["ci95"]["foreground"][metric.name])
                for metric in (DICE, distance)
            ),
            DICE.text(None if worst is None else worst["dice"]),
        ]
        row += [*_difference(r["difference"]), VERDICT_WORDS[r["verdict"]]]
        if oracle:
            row.append("-" if r.get("gap_closed") is None else f"{r['gap_closed']:.0%}")
        if several:
            means = ((r["classes"][key], r["mean"][key]["dice"]) for key in r["classes"])
            row.append(", ".join(f"{name} {DICE.text(mean)}" for name, mean in means))
        rows.append(row)
    return header, rows


def said(content: Content) -> list[tuple[str, str]]:
    """Sentences below the table, each with a style: verdicts, cells failed or missing, unequal conditions."""
    lines = [(sentence, "") for r in content["results"] if (sentence := verdict(r, content["reference"]))]
    fewest = min((r["patients"] for r in content["results"] if "patients" in r), default=0)
    if note := few_patients(fewest):
        lines.append((note, "yellow"))
    for r in content["results"]:
        if r["incomplete"]:
            seeds = ", ".join(map(str, r["incomplete"]))
            lines.append((f"{_who(r)}: seed {seeds} is not finished and is left out", "yellow"))
    for cell in content["cells"]:
        if cell["state"] == "failed":
            lines.append((f"failed: {cell['folder']}: {cell['error']}", "red"))
    for state in ("free", "running"):
        if names := [cell["folder"] for cell in content["cells"] if cell["state"] == state]:
            word = "not done" if state == "free" else "being worked on"
            more = f", ... ({len(names)})" if len(names) > 3 else ""
            lines.append((f"{word}: {', '.join(names[:3])}{more}", "yellow"))
    return lines + [(note, "yellow") for note in content["notes"]]


def verdict(result: Mapping[str, Any], reference: str) -> str:
    """One sentence on a method's Dice against the reference; empty for the reference itself."""
    kind = result.get("verdict", "reference")
    if kind == "reference":
        return ""
    if kind == "alone":
        return f"{_who(result)} cannot be compared: {reference} has no finished seed in common with it"
    difference = result["difference"]
    mean, interval = difference["mean"]["foreground"]["dice"], difference["ci95"]["foreground"]["dice"]
    found = DICE.text(mean, interval, sign="+")
    if kind == "trails":
        return f"{_who(result)} TRAILS {reference}: {found}"
    if kind == "gains":
        return f"{_who(result)} gains on {reference}: {found}"
    return f"{_who(result)}: no difference to {reference} shown: {found}"


def _who(result: Mapping[str, Any]) -> str:
    return f"{result['variant']} ({result['labeled']} labelled)"


def _patients(content: Content) -> str:
    """``12 ``, or ``4 to 6 `` where labelled sets differ; empty before a cell is finished."""
    counts = sorted({r["patients"] for r in content["results"] if "patients" in r})
    return " to ".join(map(str, dict.fromkeys([*counts[:1], *counts[-1:]]))) + " " * bool(counts)


def _cost(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps and seconds of a row's finished cells: one number, or the range of the steps."""
    done = [c for c in cells if c["state"] == "finished"]
    steps = sorted({c["steps"] for c in done if c.get("steps") is not None})
    seconds = [c["seconds"] for c in done if c.get("seconds") is not None]
    return [
        " to ".join(map(str, dict.fromkeys([*steps[:1], *steps[-1:]]))) or "-",
        show_duration(sum(seconds) / len(seconds)) if seconds else "-",
    ]


def _difference(difference: Mapping[str, Any] | None) -> list[str]:
    if difference is None:
        return ["-", "-"]
    of = {key: difference[key]["foreground"]["dice"] for key in difference if key != "seeds"}
    equal = f" ({of['patients_equal']} equal)" if of["patients_equal"] else ""
    return [
        DICE.text(of["mean"], of["ci95"], sign="+"),
        f"{of['patients_better']} : {of['patients_worse']}{equal}",
    ]
