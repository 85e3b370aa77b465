"""The classes of a data folder as the page shows them."""

from __future__ import annotations

from typing import Any

from semivox.cohort import Cohort, segments_of_classes
from semivox.report import colour_of


def class_rows(cohort: Cohort) -> list[dict[str, Any]]:
    """The classes by number (:mod:`.page_grid`), with names and colours; last ``ignore``, if any."""
    given = segments_of_classes(cohort.classes, cohort.codes, cohort.colours)
    declared = {s.value for s in given if str(s.name) in cohort.colours}
    rows = [
        {
            "number": number,
            "value": segment.value,
            "name": segment.name,
            "colour": segment.colour if segment.value in declared else colour_of(number - 1),
            "ignore": False,
        }
        for number, segment in enumerate(given, start=1)
    ]
    if cohort.ignore is not None:
        rows.append(
            {
                "number": len(rows) + 1, "value": cohort.ignore, "name": "not looked at",
                "colour": "#808080", "ignore": True,
            }
        )  # fmt: skip
    return rows
