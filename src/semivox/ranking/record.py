"""The files of a ranking: a table, the same as JSON, and a list of cases for ``train --labeled``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from semivox.files import write_json, write_text
from semivox.ranking.ranked_scan import RankedScan

FORMAT = 1
CSV, JSON, NEXT = "ranking.csv", "ranking.json", "next_labeled.txt"
DIGITS = 5
"""Significant ones."""


class CaseOfRanking(TypedDict):
    """A row of ``ranking.json``, as far as it is read back."""

    case: str
    rank: int
    chosen: int | None
    reason: str


class ForecastOfRanking(TypedDict):
    """What the chosen scans will bring, as far as it is read back."""

    enough: bool
    sentence: str


class RankingContent(TypedDict):
    """``ranking.json``, as far as it is read back."""

    model_id: str
    cases: list[CaseOfRanking]
    forecast: NotRequired[ForecastOfRanking | None]


def write_ranking(out: Path, head: Mapping[str, Any], rows: Sequence[RankedScan]) -> dict[str, Any]:
    """Write the three files into ``out``, each whole or not at all; returns the content of ``ranking.json``.

    ``head``: facts of the whole ranking, among them ``labeled``: the cases that are labelled already.
    """
    listed = [_rounded(row) for row in rows]
    content = {"format": FORMAT, **head, "cases": listed}
    write_json(out / JSON, content)
    write_text(out / CSV, _as_csv(listed))
    chosen = sorted((row for row in rows if row.chosen is not None), key=lambda row: row.chosen or 0)
    lines = [
        "# for train --labeled, once the chosen cases have label files",
        "# labelled already",
        *head["labeled"],
        "# chosen, in this order",
        *(row.case for row in chosen),
    ]
    write_text(out / NEXT, "\n".join(lines) + "\n")
    return content


def _rounded(row: RankedScan) -> dict[str, Any]:
    def rounded(value: object) -> object:
        return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value

    return {name: rounded(value) for name, value in asdict(row).items()}


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(RankedScan)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)  # None becomes an empty cell
    return text.getvalue()
