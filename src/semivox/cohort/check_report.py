"""What a check of a cohort found: findings and a summary, as plain values."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from semivox.cohort.volume import SpacingStatus
from semivox.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class Finding:
    """One fault; ``severity`` is "error" (training refuses) or "warning"; ``case`` is "" for the folder."""

    severity: str
    case: str
    path: str
    fault: str
    found: str
    expected: str
    remedy: str

    @staticmethod
    def of(severity: str, case: str, error: DataError) -> Finding:
        parts = (error.path, error.fault, error.found, error.expected, error.remedy)
        return Finding(severity, case, *("" if part is None else str(part) for part in parts))


@dataclass(frozen=True)
class CheckReport:
    """What was found. ``shapes`` and ``spacings_mm`` are of all readable images (that tell their spacing), in
    cohort order; ``spacing`` says what is known of it over the whole cohort;
    ``classes`` maps a class name to the number of labelled cases that have it; ``excluded`` names cases that
    ``check(write_exclude=True)`` left out."""

    root: Path
    findings: tuple[Finding, ...]
    cases: int
    labeled: int
    channels: tuple[str, ...]
    dims: int | None
    shapes: tuple[tuple[int, ...], ...]
    spacings_mm: tuple[tuple[float, ...], ...]
    classes: Mapping[str, int]
    excluded: tuple[str, ...] = ()
    spacing: SpacingStatus = "known"

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "warning")

    @property
    def ok(self) -> bool:
        """Nothing that training refuses."""
        return not self.errors

    def raise_errors(self) -> None:
        """Raise the first error as a DataError that tells how many more there are."""
        if self.ok:
            return
        first, more = self.errors[0], len(self.errors) - 1
        every = shlex.join(["semivox", "check", str(self.root)])
        remedy = first.remedy + (f" (and {more} more errors: {every})" if more else "")
        raise DataError(
            first.fault,
            path=first.path or None,
            found=first.found or None,
            expected=first.expected or None,
            remedy=remedy or None,
        )

    def to_json(self) -> dict[str, object]:
        """Plain values for ``--json``; ``format`` grows when their meaning changes."""
        return {
            "format": FORMAT,
            "ok": self.ok,
            "summary": {
                "root": str(self.root),
                "cases": self.cases,
                "labelled": self.labeled,
                "channels": list(self.channels),
                "dims": self.dims,
                "shapes": _extent(self.shapes),
                "spacing": self.spacing,
                "spacings_mm": _extent(self.spacings_mm) if self.spacing == "known" else None,
                "classes": dict(self.classes),
                "errors": len(self.errors),
                "warnings": len(self.warnings),
            },
            "findings": [asdict(f) for f in self.findings],
            "excluded": list(self.excluded),
        }


def _extent(rows: tuple[tuple[float, ...], ...]) -> dict[str, list[float]] | None:
    """Per axis minimum, median and maximum (of the most common number of axes)."""
    if not rows:
        return None
    axes = Counter(map(len, rows)).most_common(1)[0][0]
    table = np.array([row for row in rows if len(row) == axes])
    return {
        name: [round(float(v), 4) if v >= 0.1 else float(f"{v:.4g}") for v in reduce(table, axis=0)]
        for name, reduce in (("min", np.min), ("median", np.median), ("max", np.max))
    }


def left_out(report: CheckReport, names: Iterable[str]) -> CheckReport:
    """The report after ``names`` were left out: their errors no longer stop."""
    names = tuple(names)
    findings = [
        replace(f, severity="warning", remedy="left out: use=no is now in cases.csv")
        if f.severity == "error" and f.case in names
        else f
        for f in report.findings
    ]
    return replace(report, findings=tuple(sorted(findings, key=lambda f: f.severity)), excluded=names)
