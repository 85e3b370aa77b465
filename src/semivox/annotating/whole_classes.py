"""Which classes of a scan a reader has drawn, where not all: the column ``annotated`` of ``cases.csv``.

Training takes background there for "none of these classes", and learns nothing about the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from filelock import FileLock

from semivox.annotating.refusals import NotWanted
from semivox.cohort import Case, Cohort, read_cases_csv, set_cells
from semivox.files import inside

LOCK = ".cases.lock"


class WholeClasses:
    """The table of ``cohort``; ``folder`` has the lock that keeps two servers apart."""

    def __init__(self, cohort: Cohort, folder: Path) -> None:
        self._cohort, self._table = cohort, cohort.root / "cases.csv"
        self._lock = inside(folder, LOCK, "any")

    def of(self, case: Case) -> frozenset[int]:
        """Label values of the classes that count as drawn in this case, as the table says now. Raises
        DataError for a table that cannot be understood."""
        cohort = self._cohort
        if self._table.is_file():
            for row in read_cases_csv(self._table, cohort.structures, cohort.regions):
                if row.case == case.name and row.annotated is not None:
                    return frozenset(row.annotated)
        return frozenset(cohort.values)

    def checked(self, values: Collection[int]) -> frozenset[int]:
        """Label values that can be drawn without the others. Raises NotWanted for none, for values of no
        class, and for a part of structures that share values."""
        cohort, found = self._cohort, frozenset(values)
        if not found or not found <= set(cohort.values):
            raise NotWanted(
                "a label has one class or more that is drawn in the whole scan",
                found=", ".join(map(str, sorted(found))) or "none",
                expected=" or ".join(f"{value} ({name})" for value, name in cohort.classes.items()),
                remedy="mark the classes that you drew throughout, or skip the scan",
            )
        parts = cohort.regions.parts
        halves = [n for n, values in parts.items() if found & set(values) and not found >= set(values)]
        if halves:
            raise NotWanted(
                "structures that share voxels are drawn together or not at all",
                found=", ".join(cohort.classes[value] for value in sorted(found)),
                expected="all of " + ", ".join(cohort.structures[n] for n in halves),
                remedy="draw them all, or none of them",
            )
        return found

    @contextlib.contextmanager
    def saving(self, case: Case, drawn: frozenset[int] | None) -> Iterator[None]:
        """While the block gives a label its place, the table counts the classes as drawn that are so before
        and after; then ``drawn``. None: it stays as it is. So a kill in between never makes background of
        what nobody drew."""
        if drawn is None:
            yield
            return
        before = self.of(case)
        self._write(case, before, before & drawn)
        yield
        self._write(case, before & drawn, drawn)

    def _write(self, case: Case, before: frozenset[int], values: frozenset[int]) -> None:
        if before == values:
            return
        cohort = self._cohort
        known = tuple(sorted(values))
        numbers = cohort.regions.annotated(known) if cohort.regions else known
        cell = "" if values == set(cohort.values) else ";".join(map(str, numbers)) or ";"
        with FileLock(str(self._lock)):
            set_cells(self._table, "annotated", {case.name: cell}, [each.name for each in cohort.cases])
