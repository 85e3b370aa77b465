"""Which classes of a scan a reader has drawn, where not all: the column ``annotated`` of ``cases.csv``.

Training takes background there for "none of these classes", and learns nothing about the others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from semivox.annotating.refusals import NotWanted
from semivox.cohort import Case, Cohort, read_cases_csv, set_cells
from semivox.files import inside, read_bytes, remove_file, write_bytes

LOCK = ".cases.lock"


@dataclass(frozen=True)
class Written:
    """The table's bytes before and after it was written; None where it was not there."""

    was: bytes | None
    now: bytes | None


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

    def change(self, case: Case, drawn: frozenset[int] | None) -> TableChange:
        """To ``drawn``, while a label gets its place; None: the table stays as it is."""
        return TableChange(self, case, drawn)

    def write(self, case: Case, values: frozenset[int]) -> Written:
        """These classes count as drawn; what the table was and is by that."""
        cohort = self._cohort
        known = tuple(sorted(values))
        numbers = cohort.regions.annotated(known) if cohort.regions else known
        cell = "" if values == set(cohort.values) else ";".join(map(str, numbers)) or ";"
        with FileLock(str(self._lock)):
            was = self._content()
            set_cells(self._table, "annotated", {case.name: cell}, [each.name for each in cohort.cases])
            return Written(was, self._content())

    def put_back(self, written: Written) -> bool:
        """The table as it was before, byte for byte, unless others have written into it since."""
        with FileLock(str(self._lock)):
            if self._content() != written.now:
                return False
            if written.was is None:
                remove_file(self._table.parent, self._table.name)
            else:
                write_bytes(self._table, written.was)
            return True

    def _content(self) -> bytes | None:
        return read_bytes(self._table) if self._table.is_file() else None


class TableChange:
    """A change of what the table says of a case, in two steps around that of its label.

    In between it counts the classes as drawn that are so before and after. So a kill never makes background
    of what nobody drew.
    """

    def __init__(self, table: WholeClasses, case: Case, drawn: frozenset[int] | None) -> None:
        self._table, self._case, self._drawn = table, case, drawn
        self._before = frozenset[int]()
        self._written: list[Written] = []

    def narrow(self) -> None:
        """Before the label has its place."""
        if self._drawn is not None:
            self._before = self._table.of(self._case)
            self._count(self._before, self._before & self._drawn)

    def finish(self) -> None:
        """When it has it."""
        if self._drawn is not None:
            self._count(self._before & self._drawn, self._drawn)

    def take_back(self) -> None:
        """The former table; where others wrote into it meanwhile, the former cell of this case."""
        while self._written and self._table.put_back(self._written[-1]):
            self._written.pop()
        if self._written:
            self._table.write(self._case, self._before)

    def _count(self, now: frozenset[int], values: frozenset[int]) -> None:
        if now != values:
            self._written.append(self._table.write(self._case, values))
