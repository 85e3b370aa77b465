"""A comparison for people: one row a labelled set and method, and in words who gains and who trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semivox.duration import show_duration

Content = Mapping[str, Any]
FEW_CLASSES = 6


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
    return f"{how}; {count}; mean [95 % interval over patients and seeds]"


def table_rows(content: Content) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table, as text."""
    results = content["results"]
    in_mm = any(_number(r, "mean", "hd95_mm") is not None for r in results)
    distance, unit = ("hd95_mm", "mm") if in_mm else ("hd95_vox", "voxels")
    several = any(2 <= len(r.get("classes", {})) <= FEW_CLASSES for r in results)
    header = ["labelled", "method", "seeds", "steps", "time", "Dice", f"HD95 {unit}", "worst Dice"]
    header += [f"Dice minus {content['reference']}", "better : worse", "verdict"]
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
            _cell(_number(r, "mean", "dice"), _number(r, "ci95", "dice"), 3),
            _cell(_number(r, "mean", distance), _number(r, "ci95", distance), 1),
            "-" if worst is None else f"{worst['dice']:.3f}",
        ]
        row += [*_difference(r["difference"]), r["verdict"]]
        if several:
            means = ((r["classes"][key], r["mean"][key]["dice"]) for key in r["classes"])
            row.append(", ".join(f"{name} {'-' if m is None else f'{m:.3f}'}" for name, m in means))
        rows.append(row)
    return header, rows


def said(content: Content) -> list[tuple[str, str]]:
    """Sentences below the table, each with a style: verdicts, cells failed or missing, unequal conditions."""
    lines = [(sentence, "") for r in content["results"] if (sentence := verdict(r, content["reference"]))]
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
    found = _cell(mean, interval, 4, sign=True)
    if kind == "trails":
        return f"{_who(result)} TRAILS {reference}: {found}"
    if kind == "gains":
        return f"{_who(result)} gains on {reference}: {found}"
    return f"{_who(result)}: no evidence of a difference to {reference}: {found}"


def _who(result: Mapping[str, Any]) -> str:
    return f"{result['variant']} ({result['labeled']} labelled)"


def _number(result: Mapping[str, Any], what: str, metric: str) -> Any:
    return result[what]["foreground"][metric] if what in result else None


def _cost(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps and seconds of a row's finished cells: one number, or the range of the steps."""
    done = [c for c in cells if c["state"] == "finished"]
    if not done:
        return ["-", "-"]
    steps = sorted({c["steps"] for c in done})
    shown = str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    return [shown, show_duration(sum(c["seconds"] for c in done) / len(done))]


def _difference(difference: Mapping[str, Any] | None) -> list[str]:
    if difference is None:
        return ["-", "-"]
    of = {key: difference[key]["foreground"]["dice"] for key in difference if key != "seeds"}
    equal = f" ({of['patients_equal']} equal)" if of["patients_equal"] else ""
    return [
        _cell(of["mean"], of["ci95"], 3, sign=True),
        f"{of['patients_better']} : {of['patients_worse']}{equal}",
    ]


def _cell(mean: float | None, interval: Sequence[float] | None, decimals: int, sign: bool = False) -> str:
    if mean is None:
        return "-"
    plus = "+" if sign else ""
    text = f"{mean:{plus}.{decimals}f}"
    if interval is not None:
        text += f" [{interval[0]:{plus}.{decimals}f}, {interval[1]:{plus}.{decimals}f}]"
    return text
