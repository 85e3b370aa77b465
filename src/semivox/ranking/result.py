"""A ranking, and how it is shown in a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group

    from semivox.ranking.ranked_scan import RankedScan
    from semivox.ranking.slices import ChosenSlice


@dataclass(frozen=True)
class Ranking:
    """``scans`` by rank; ``labeled``: cases of the data folder that are labelled already; ``failed``: case to
    reason; ``notes``: what was left out of the score, and why; ``content``: that of ``ranking.json``."""

    out: Path
    scans: tuple[RankedScan, ...]
    labeled: tuple[str, ...]
    failed: Mapping[str, str]
    notes: tuple[str, ...]
    content: Mapping[str, Any]
    slices: tuple[ChosenSlice, ...] = ()
    """With ``--slices``, in the order of the scans."""

    @property
    def chosen(self) -> tuple[RankedScan, ...]:
        """In the order of the choice."""
        rows = [row for row in self.scans if row.chosen is not None]
        return tuple(sorted(rows, key=lambda row: row.chosen or 0))

    @property
    def expected(self) -> tuple[str, ...]:
        """What the labels of the chosen scans will bring, in words, and what to know of that; empty where
        nobody asked for it."""
        found = self.content.get("forecast") or {}
        return tuple(found[name] for name in ("sentence", "caveat") if found.get(name))

    @property
    def annotate_command(self) -> str:
        return shlex.join(["semivox", "annotate", self.content["run"], self.content["data"]])

    @property
    def train_command(self) -> str:
        """Of a new run, which begins where the run ended if there is one."""
        run, labeled = self.content["run"], self.out / "next_labeled.txt"
        begun = ["--init", run, "--plan", str(Path(run) / "plan.json")] if run else []
        words = ["semivox", "train", self.content["data"], "--labeled", str(labeled), *begun, "--out", "NEW"]
        return shlex.join(words)


def facts_of(row: RankedScan) -> str:
    """Rank, score, and what it is made of."""
    parts = {"entropy": row.entropy, "disagreement": row.disagreement, "distance": row.distance}
    told = [f"{name} {value:.3g}" for name, value in parts.items() if value is not None]
    return f"Rank {row.rank}, score {row.score:.2f}" + (f" ({', '.join(told)})" if told else "")


def render(ranking: Ranking) -> Group:
    """The chosen scans as a table for a terminal, and what to do next."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table("", "case", "rank", "score", "entropy", "disagree", "distance", "why")
    for row in ranking.chosen:
        numbers = (row.entropy, row.disagreement, row.distance)
        cells = ["" if number is None else f"{number:.3g}" for number in numbers]
        table.add_row(
            str(row.chosen), escape(row.case), str(row.rank), f"{row.score:.2f}", *cells, escape(row.reason)
        )
    lines = [*_named_slices(ranking), *ranking.expected, *(f"note: {note}" for note in ranking.notes)]
    lines += [f"failed: {case}: {reason}" for case, reason in ranking.failed.items()]
    written, new = "tables", "train"  # no picture is drawn without a run
    if ranking.content["run"]:
        written, new = "pictures and tables", "begin a new run where this one ended"
    lines.append(f"{len(ranking.scans)} scans ranked; {written} in {ranking.out}")
    lines += [f"annotate them, then {new}:", ranking.train_command]
    return Group(table, Text("\n".join(lines)))


def _named_slices(ranking: Ranking) -> Iterator[str]:
    """A line a scan, numbered from 0 as files are."""
    slices: dict[tuple[str, int], list[int]] = {}
    for each in ranking.slices:
        slices.setdefault((each.case, each.axis), []).append(each.slice)
    for (case, axis), indices in slices.items():
        listed = ", ".join(map(str, sorted(indices)))
        yield f"{case}: slices {listed} across axis {'xyz'[axis]}, counted from 0"
