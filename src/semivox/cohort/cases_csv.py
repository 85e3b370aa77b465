"""``cases.csv``: the order, patients, annotated classes, roles and use of a cohort's cases."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from semivox.cohort.dataset_json import class_value
from semivox.cohort.regions import NONE, Regions
from semivox.errors import DataError
from semivox.files import read_text, replacing

COLUMNS = ("case", "patient", "annotated", "role", "use")
ROLES = ("", "unlabeled", "test")
USE = {"": True, "yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}


@dataclass(frozen=True)
class Row:
    """One line, parsed; ``annotated`` are label values, None where every class is annotated."""

    case: str
    patient: str
    annotated: tuple[int, ...] | None
    role: str
    use: bool


def read_cases_csv(path: Path, classes: Mapping[int, str] | None, regions: Regions = NONE) -> tuple[Row, ...]:
    """The rows in the file's order; missing columns and empty fields have their defaults.

    ``classes`` None: not known yet, ``annotated`` is passed over. Where there are ``regions``, ``classes``
    are their numbers and names.

    Raises
    ------
    DataError
        No ``case`` column, a case listed twice, an unknown class, role or use.
    """
    header, lines, _ = _table(path)
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=2):
        cells = {name: cell.strip() for name, cell in zip(header, line, strict=False)}
        case = cells.get("case", "")
        if not any(cells.values()):
            continue
        where = f"line {number}, case {case!r}: "
        if not case or case in rows:
            raise DataError(
                "a case is listed twice" if case else "a line names no case",
                path=path,
                found=where[:-2],
                expected="a line for each case",
                remedy="keep one of its lines" if case else "name the case of this line, or take it out",
            )
        role, use = cells.get("role", "").lower(), cells.get("use", "").lower()
        role = "unlabeled" if role == "unlabelled" else role
        if role not in ROLES:
            raise DataError(
                "unknown role", path=path, found=where + repr(role), expected="empty, unlabeled or test"
            )
        if use not in USE:
            raise DataError("unknown use", path=path, found=where + repr(use), expected="empty, yes or no")
        annotated = _annotated(path, where, cells.get("annotated", ""), classes)
        if regions and annotated is not None:
            annotated = _atoms(path, where, annotated, regions)
        rows[case] = Row(case, cells.get("patient", "") or case, annotated, role, USE[use])
    return tuple(rows.values())


def in_order(rows: Iterable[Row], found: Iterable[str]) -> list[Row]:
    """The rows in use of the cases ``found``: the listed ones in their order, then the others in theirs, each
    a patient of its own."""
    rows, names = list(rows), dict.fromkeys(found)
    listed = {row.case for row in rows}
    used = [row for row in rows if row.use and row.case in names]
    return used + [Row(name, name, None, "", True) for name in names if name not in listed]


def set_cells(path: Path, column: str, cells: Mapping[str, str], order: Iterable[str]) -> None:
    """Write a ``column``'s cell for each case in ``cells`` and leave every other row and column as it is.

    Without a file one is written that lists ``order``, the cohort's cases, so that their order stays. The
    file is replaced whole or not at all. Raises DataError for a file that is no such table.
    """
    if path.exists():
        header, lines, delimiter = _table(path)
    else:
        header, lines, delimiter = ["case", column], [[name] for name in order], ","
    if column not in header:
        lines = [line + [""] * (len(header) + 1 - len(line)) if line else line for line in lines]
        header = [*header, column]
    case_column, place = header.index("case"), header.index(column)
    listed = {line[case_column].strip() for line in lines if len(line) > case_column}
    for name in sorted(set(cells) - listed):
        lines.append(["" if each != "case" else name for each in header])
    for line in lines:
        name = line[case_column].strip() if len(line) > case_column else ""
        if name in cells:
            line.extend([""] * (place + 1 - len(line)))
            line[place] = cells[name]
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([header, *lines])


def _table(path: Path) -> tuple[list[str], list[list[str]], str]:
    text = read_text(path)
    first = text.split("\n", 1)[0]
    # spreadsheets write ";" in some countries, and tabs where they write UTF-16
    delimiter = next((d for d in ",;\t" if d in first), ",")
    table: list[list[str]] = []
    begun = 0  # lines before this row
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any("\n" in cell or "\r" in cell for cell in row):  # it holds the rows up to the next quote
                raise csv.Error("a quote that does not end in its line")
            table.append(row)
            begun = reader.line_num
    except csv.Error as error:
        raise DataError(
            "a line cannot be read as cells",
            path=path,
            found=f"line {begun + 1}: {error}",
            expected="quotes in pairs, within one line",
            remedy="close the quote, or write it twice where it belongs to the text",
        ) from None
    header = [name.strip().lower() for name in table[0]] if table else []
    if "case" not in header or len(set(header)) < len(header):
        raise DataError(
            "the first line names the columns, 'case' among them, each once",
            path=path,
            found=", ".join(header) or "an empty file",
            expected=",".join(COLUMNS),
            remedy="add the line 'case,patient'; other columns have defaults",
        )
    return header, table[1:], delimiter


def _annotated(
    path: Path, where: str, cell: str, classes: Mapping[int, str] | None
) -> tuple[int, ...] | None:
    if not cell or classes is None:
        return None
    whole = class_value(cell, classes)
    tokens = [cell] if whole is not None else cell.split(";") if ";" in cell else cell.split()
    values = []
    for token in filter(None, (t.strip() for t in tokens)):
        value = class_value(token, classes)
        if value is None:
            raise DataError(
                "'annotated' names no declared class",
                path=path,
                found=where + repr(token),
                expected=", ".join(classes.values()),
                remedy="separate class names with spaces or semicolons, and take out what is no class",
            )
        values.append(value)
    return tuple(sorted(set(values)))


def _atoms(path: Path, where: str, annotated: tuple[int, ...], regions: Regions) -> tuple[int, ...]:
    """The label values of annotated regions. Regions that share a value are annotated together: who drew a
    tumour and not the liver around it has drawn no liver, and a voxel has one value."""
    values = {value for number in annotated for value in regions.parts[number]}
    halves = [number for number, parts in regions.parts.items() if values & set(parts)]
    if lacking := [regions.names[number] for number in halves if number not in annotated]:
        raise DataError(
            "'annotated' names a region without one that shares label values with it",
            path=path,
            found=where + ", ".join(regions.names[number] for number in annotated),
            expected="also " + ", ".join(lacking),
            remedy="annotate both in this case, or neither",
        )
    return tuple(sorted(values))
