"""Predictions of cases that the data folder has no more stay on the disk; a page leaves them out, and says
so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from semivox.cohort import load_cohort
from semivox.errors import DataError
from semivox.report.run_record import HeldOut

LISTS = ("missing", "unmatched", "refused")
"""What an evaluation tells of cases that it has not measured."""


def without_absent(held: HeldOut) -> HeldOut:
    """The same without the cases that were taken out of its data folder, or out of use, since they were
    predicted; ``absent`` names them. Those that the evaluation has measured stay, for its means are of them.
    Where the folder cannot be read any more nothing is left out."""
    content = held.content or {}
    named = dict.fromkeys([*held.rows, *(name for key in LISTS for name in content.get(key, ()))])
    unmeasured = [name for name in named if name not in content.get("cases", {})]
    if not unmeasured or held.data is None:
        return held
    try:
        there = {case.name for case in load_cohort(held.data).cases}
    except DataError:
        return held
    absent = {name for name in unmeasured if name not in there}
    return _without(held, absent) if absent else held


def _without(held: HeldOut, absent: set[str]) -> HeldOut:
    content = held.content and {
        **held.content,
        **{key: _rest(held.content[key], absent) for key in LISTS if key in held.content},
    }
    return replace(
        held,
        content=content,
        rows=_rest(held.rows, absent),
        reliability=_rest(held.reliability, absent),
        reference_voxels=_rest(held.reference_voxels, absent),
        trained_on=tuple(name for name in held.trained_on if name not in absent),
        seen=tuple(name for name in held.seen if name not in absent),
        absent=tuple(sorted(absent)),
    )


def _rest(told: Any, absent: set[str]) -> Any:
    """What is told of other cases: of a list of names, or of a table by name."""
    if isinstance(told, Mapping):
        return {name: row for name, row in told.items() if name not in absent}
    return [name for name in told if name not in absent]
