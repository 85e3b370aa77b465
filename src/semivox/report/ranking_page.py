"""The page of a ranking: the chosen scans with their pictures, why them, their files, and what to do next."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semivox.report.contact_sheet import Card, pictures_of
from semivox.report.other_programs import open_commands
from semivox.report.page import render_page
from semivox.report.palette import COLOURS


@dataclass(frozen=True)
class ChosenScan:
    """``card`` of the contact sheet, the scan's files, and the score's parts in words."""

    card: Card
    files: Sequence[Path]
    dims: int
    facts: str


def ranking_page(
    chosen: Sequence[ChosenScan],
    out: Path,
    *,
    title: str,
    lead: str,
    classes: Mapping[int, str],
    expected: Sequence[str],
    notes: Sequence[str],
    next_steps: Sequence[tuple[str, str]],
) -> Path:
    """Write the page; ``next_steps``: (what, command). ``classes``: label value -> name; ``expected``: what
    the labels will bring, in words."""
    scans = [
        {
            "id": f"scan-{number}",
            "title": scan.card.title,
            "reason": scan.card.text,
            "facts": scan.facts,
            "files": [str(path) for path in scan.files],
            "commands": open_commands(scan.files[0], None, scan.dims),
            "pictures": [
                "data:image/png;base64," + base64.b64encode(png).decode() for png in pictures_of(scan.card)
            ],
        }
        for number, scan in enumerate(chosen, 1)
    ]
    context = {
        "title": title,
        "kind": "Ranking",
        "lead": lead,
        "contents": [("next", "Next"), *((scan["id"], scan["title"]) for scan in scans)],
        "made": "Made by semivox rank.",
        "scans": scans,
        "classes": [(classes[value], COLOURS[k % len(COLOURS)]) for k, value in enumerate(sorted(classes))],
        "expected": list(expected),
        "notes": list(notes),
        "next_steps": list(next_steps),
    }
    return render_page("ranking.html.j2", context, out)
