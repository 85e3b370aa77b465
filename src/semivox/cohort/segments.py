"""The structures of a label file that has names: 3D Slicer's segments and DICOM's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from semivox.cohort.regions import within
from semivox.errors import DataError

PALETTE = ("#80ae80", "#f1d691", "#b17a65", "#6fb8d2", "#d8654f", "#dd8265", "#90ee90", "#c0683a")
"""For classes that nobody gave a colour."""


@dataclass(frozen=True)
class Code:
    """What a structure is in a terminology: ``scheme`` is "SCT" for SNOMED CT."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Segment:
    """A label value with its name, its colour (``#rrggbb``) and, where known, its code. ``parts``: of a
    region, whose ``value`` is its number, the label values that make it up; it may overlap others."""

    value: int
    name: str
    colour: str | None = None
    code: Code | None = None
    parts: tuple[int, ...] = ()

    def inside(self, labels: np.ndarray) -> np.ndarray:
        """Where label values lie in it (boolean)."""
        return within(labels, self.parts or (self.value,))


def segments_of_classes(
    classes: Mapping[int, str],
    codes: Mapping[str, Any],
    colours: Mapping[str, Any],
    parts: Mapping[int, tuple[int, ...]] = MappingProxyType({}),
) -> tuple[Segment, ...]:
    """A segment a class, or a region where they are made of ``parts``, with what ``codes`` and ``colours`` of
    ``dataset.json`` say of it by name or value.

    A code is ``"10200004"`` or ``"SCT 10200004"`` (SNOMED CT; the class's name is its meaning) or an object
    with ``value`` and, if other than that, ``scheme`` and ``meaning``. A colour is ``"#rrggbb"`` or three
    numbers 0 to 255. What is none of these is passed over.
    """
    return tuple(
        Segment(
            value,
            name,
            _colour(_entry(colours, name, value)) or PALETTE[i % len(PALETTE)],
            _code(_entry(codes, name, value), name),
            tuple(parts.get(value, ())),
        )
        for i, (value, name) in enumerate(sorted(classes.items()))
    )


def unnamed_segments(values: Iterable[int]) -> tuple[Segment, ...]:
    """For label values that nobody named: ``class_VALUE``, as classes are called that are found in labels."""
    return segments_of_classes({value: f"class_{value}" for value in values if value}, {}, {})


def refuse_other_values(path: Path, segments: Sequence[Segment], classes: Mapping[int, str]) -> None:
    """Raise DataError where a segment has the name of one class and the value of another.

    Slicer numbers segments in the order in which they were drawn, so a name may have another value in each
    file: whoever reads values would learn one structure as the other.
    """
    values = {folded(name): value for value, name in classes.items()}
    wrong = [s for s in segments if values.get(folded(s.name), s.value) != s.value]
    if wrong:
        raise DataError(
            "a segment has the name of one class and the value of another",
            path=path,
            found=", ".join(f"{s.name!r} with value {s.value}" for s in wrong),
            expected=", ".join(f"{s.name!r} with value {values[folded(s.name)]}" for s in wrong),
            remedy="set the label value of the segment, for example by exporting it with a colour table that "
            "all cases share, or correct 'labels' in dataset.json",
        )


def named_by_segments(found: Iterable[tuple[Path, Sequence[Segment]]]) -> dict[int, Segment]:
    """Value -> segment, of all files. Raises DataError where two files use a name or a value differently."""
    known: dict[int | str, tuple[Segment, Path]] = {}
    for path, segments in found:
        for segment in segments:
            for key in (segment.value, folded(segment.name)):
                other, where = known.setdefault(key, (segment, path))
                if (other.value, folded(other.name)) != (segment.value, folded(segment.name)):
                    raise DataError(
                        "two label files name their segments differently",
                        path=path,
                        found=f"{segment.name!r} with value {segment.value}",
                        expected=f"{other.name!r} with value {other.value}, as in {where.name}",
                        remedy="give a structure one name and one label value in all cases, or write a "
                        "dataset.json with 'labels'",
                    )
    by_value = {segment.value: segment for segment, _ in known.values()}
    return dict(sorted(by_value.items()))


def folded(name: str) -> str:
    """A name as it is compared: people type capitals and blanks as they like."""
    return " ".join(name.casefold().split())


def colour_of(parts: Sequence[float]) -> str:
    """``#rrggbb`` of three numbers from 0 to 1."""
    return "#" + "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02x}" for part in parts[:3])


def parts_of(colour: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _entry(table: Mapping[str, Any], name: str, value: int) -> Any:
    return table.get(name, table.get(str(value)))


def _colour(entry: Any) -> str | None:
    if isinstance(entry, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", entry):
        return entry.lower()
    if (
        isinstance(entry, list | tuple)
        and len(entry) == 3
        and all(isinstance(part, int | float) and 0 <= part <= 255 for part in entry)
    ):
        return colour_of([part / 255 for part in entry])
    return None


def _code(entry: Any, name: str) -> Code | None:
    if isinstance(entry, str) and (match := re.fullmatch(r"(?:(\w+)[ :])?\s*([\w.-]+)", entry.strip())):
        scheme = match[1] or ("SCT" if match[2].isdigit() else None)
        return Code(match[2], scheme, name) if scheme else None
    if isinstance(entry, Mapping) and isinstance(entry.get("value"), str | int):
        return Code(str(entry["value"]), str(entry.get("scheme", "SCT")), str(entry.get("meaning", name)))
    return None
