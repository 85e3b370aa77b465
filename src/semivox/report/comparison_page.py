"""The page of a comparison: who gains, who trails, what it cost, and the same cases under every method."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semivox.evaluation import DICE, METRICS, VERDICT_WORDS
from semivox.report import comparison_words as words
from semivox.report.comparison_cases import CasePicture, case_pictures, choose_cases, shown_set
from semivox.report.comparison_export import BOLD, comparison_csv, comparison_latex
from semivox.report.comparison_figures import DIFFERENCES, FIGURES, signed
from semivox.report.comparison_record import ComparisonRecord, Estimate, MethodResult, read_comparison
from semivox.report.figure_rows import draw_rows
from semivox.report.page import data_address, render_page

TEMPLATE = "comparison.html.j2"


def write_comparison_page(folder: Path, out: Path, test: Path | None = None) -> Path:
    """Write the page of the comparison in ``folder`` to ``out``; returns ``out``.

    ``test`` is the data folder of the held-out cases, where it is no longer at the comparison's own place;
    without scans the page has all but the pictures, and says so. Raises DataError where the folder holds no
    comparison, or one of a newer format.
    """
    return render_page(TEMPLATE, page_context(read_comparison(folder), test), Path(out))


def page_context(record: ComparisonRecord, test: Path | None = None) -> dict[str, Any]:
    """What the template shows."""
    rows = [row for name in record.labeled for row in record.rows(name)]
    rows += [row for row in record.results if row.of("dice").mean is None]
    classes = next((row.classes for row in rows if row.classes), {})
    shown, pictures, missing = shown_set(record), list[CasePicture](), list[str]()
    if shown is not None:
        pictures, missing = case_pictures(record, shown, choose_cases(record, shown), test)
    figures = draw_rows(FIGURES, record, "comparison") if rows and record.variants else []
    context: dict[str, Any] = {
        "kind": "Comparison",
        "title": words.subject(record),
        "lead": words.lead(record),
        "made": f"Written on {time.strftime('%Y-%m-%d %H:%M')} from {record.folder}.",
        "record": record,
        "several": len(record.labeled) > 1,
        "rough": words.rough(record),
        "outcomes": words.outcomes(record) if len(record.labeled) > 1 else [],
        "seeds": any(len(row.seeds) > 1 or row.incomplete for row in rows),
        "rows": [_row(row, record.distance.name) for row in rows],
        "classes": classes if len(classes) > 1 else {},
        "bold": BOLD,
        "downloads": _downloads(record),
        "first": [placed for placed in figures if placed.key == DIFFERENCES.key],
        "further": [placed for placed in figures if placed.key != DIFFERENCES.key],
        "shown": shown,
        "pictures": pictures,
        "missing": missing,
        "open_cells": [cell for cell in record.cells if not cell.finished],
        "command": words.command(record),
        "conditions": words.conditions(record),
        "packages": words.packages(record),
        "definitions": _definitions(record.policy),
    }
    return {**context, "contents": _contents(context)}


def _row(row: MethodResult, distance: str) -> dict[str, Any]:
    """One row of the table: numbers to sort by, and words."""
    return {
        "result": row,
        "verdict": row.verdict,
        "words": VERDICT_WORDS[row.verdict],
        "dice": row.of("dice"),
        "gain": _gain(row.gain("dice")),
        "distance": row.of(distance),
        "nearer": _gain(row.gain(distance), METRICS[distance].decimals),
        "signs": "" if row.better is None else f"{row.better} : {row.worse}",
        "classes": {value: (row.of("dice", value), _gain(row.gain("dice", value))) for value in row.classes},
    }


def _gain(estimate: Estimate, decimals: int = DICE.decimals) -> dict[str, Any]:
    mean, _, interval = signed(estimate, decimals).partition(" ")
    return {"value": estimate.mean, "mean": mean, "interval": interval}


def _downloads(record: ComparisonRecord) -> list[tuple[str, str]]:
    """File name and data address of each."""
    texts = {
        "table.csv": ("text/csv", comparison_csv(record.results)),
        "table.tex": ("text/x-tex", comparison_latex(record.results)),
    }
    return [(name, data_address(kind, text)) for name, (kind, text) in texts.items()]


def _definitions(policy: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of the comparison, and of the metrics."""
    return {
        "The comparison": {key: text for key, text in policy.items() if key != "metrics"},
        "The metrics": dict(policy.get("metrics") or {}),
    }


def _contents(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    first, further = (
        [(placed.key, placed.heading, True) for placed in context[name]] for name in ("first", "further")
    )
    sections = [
        ("result", "Result", True),
        *first,
        ("classes", "Each class", bool(context["classes"])),
        *further,
        ("pictures", "Side by side", bool(context["pictures"] or context["missing"])),
        ("cells", "Unfinished cells", bool(context["open_cells"])),
        ("measured", "How it was measured", True),
    ]
    return [(name, text) for name, text, there in sections if there]
