"""Writes docs/reference/figures.md from the rows of figures in semivox.report.

python docs/make_figures.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

from semivox.report import comparison_figures, held_out_figures, run_figures

PAGE = Path(__file__).parent / "reference" / "figures.md"

HEAD = """\
# Figures

The figures of the pages. Each is a function of `semivox.report`, too, that returns a matplotlib `Figure`:
[Figures for a notebook](../how-to/figures.md) calls them. This page is made from the source by
`python docs/make_figures.py`; [Add a figure](../how-to/add-a-figure.md) says how one comes in.
"""
PAGES = {
    "Training, on the page of a run": run_figures.FIGURES,
    "Held-out cases, on the page of a run": held_out_figures.FIGURES,
    "The page of a comparison": comparison_figures.FIGURES,
}


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for heading, rows in PAGES.items():
        lines += [f"## {heading}\n", "| function | section | what it shows |", "|---|---|---|"]
        for row in rows:
            shows = " ".join((inspect.getdoc(row.draw) or "").split("\n\n")[0].split()).replace("``", "`")
            names = ", ".join(inspect.signature(row.draw).parameters)
            lines.append(f"| `{row.name}({names})` | {row.place.heading} | {shows} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
