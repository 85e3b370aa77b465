"""The text at the head of NRRD and MetaImage files: its fields, and what they say of lengths and place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from semivox.cohort.units import mm_per_unit
from semivox.cohort.volume import SpacingStatus

LONGEST = 1 << 20
STATUS = "semivox_spacing"
"""Our own key, in both formats: the status of a volume whose spacing is not known."""


@dataclass(frozen=True)
class Head:
    """``fields``: name (lower case, without blanks) -> value; of a NRRD its keys (``key:=value``) too, which
    never take a field's place. ``lists``: the lines after a field that says LIST. ``end``: the byte after it.
    """

    kind: Literal["nrrd", "mha"]
    fields: Mapping[str, str]
    lists: tuple[str, ...]
    end: int

    def needed(self, *names: str) -> str:
        """The value of the first of ``names`` that is there. Raises ValueError."""
        found = self.get(*names)
        if found is None:
            raise ValueError(f"the header lacks {names[0]!r}")
        return found

    def get(self, *names: str) -> str | None:
        """The value of the first of ``names`` that is there."""
        return next((self.fields[name] for name in names if name in self.fields), None)


class Told(NamedTuple):
    """Millimetres in the unit of a file's lengths, what they are worth, and whether a place is told."""

    mm: float
    status: SpacingStatus
    placed: bool


def read_head(path: Path) -> Head:
    """The head of a file. Raises ValueError where it is none of the two formats."""
    start = _start(path)
    return _nrrd(start) if start.startswith(b"NRRD000") else _metaimage(start)


def told(head: Head) -> Told:
    """What the header says of its lengths and its place."""
    placed = any(re.search(r"\d", head.fields.get(key, "")) for key in PLACES)
    return Told(*_spacing(head.fields), placed)


def whole_numbers(text: str, count: int | None = None) -> list[int]:
    """The whole numbers of a field. Raises ValueError where they are others, or not ``count``."""
    words = text.split()
    if count not in (None, len(words)) or not all(re.fullmatch(r"[+-]?[0-9]{1,18}", word) for word in words):
        raise ValueError(f"whole numbers expected: {text[:80]!r}")
    return [int(word) for word in words]


def real_numbers(text: str, count: int | None = None) -> list[float]:
    """The numbers of a field; NaN and infinity are some. Raises ValueError."""
    words = text.split()
    if count not in (None, len(words)) or "_" in text:
        raise ValueError(f"{count} numbers expected: {text[:80]!r}")
    return [float(word) for word in words]


def nrrd_head(path: Path) -> str:
    """The text of a NRRD's header, up to its first empty line."""
    return _text(re.split(rb"\r?\n\r?\n", _start(path), maxsplit=1)[0])


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST)


def _spacing(fields: Mapping[str, str]) -> tuple[float, SpacingStatus]:
    if fields.get(STATUS) == "nominal":
        return 1.0, "nominal"
    if fields.get(STATUS) == "unknown" or not any(re.search(r"\d", fields.get(key, "")) for key in GIVEN):
        return 1.0, "unknown"
    units = [unit for key in UNITS if key in fields for unit in _listed(fields[key])]
    factors = {mm for unit in units if (mm := mm_per_unit(unit)) is not None}
    if len(factors) > 1 or (not factors and any(unit not in NO_LENGTHS for unit in units)):
        return 1.0, "nominal"
    return factors.pop() if factors else 1.0, "known"


GIVEN = ("spacedirections", "spacings", "elementspacing", "elementsize")
PLACES = (
    "spacedirections",
    "spaceorigin",
    "offset",
    "position",
    "origin",
    "transformmatrix",
    "rotation",
    "orientation",
)
UNITS = ("spaceunits", "units", "distanceunits")
NO_LENGTHS = ("", "?", "???", "none", "s", "sec", "ms")
"""What stands in a list of units beside lengths: nothing, or the unit of a time axis."""


def _nrrd(start: bytes) -> Head:
    """Up to the first empty line, or, where the voxels lie in other files, to the end."""
    blank = re.search(rb"\r?\n\r?\n", start)
    end = blank.end() if blank else len(start)
    lines = _text(start[: blank.start() if blank else end]).splitlines()[1:]
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for number, line in enumerate(lines):
        found = re.match(r"([^#:\n][^:\n]*):(=?)[ \t]*(.*)", line)
        if found is None:
            continue
        name, is_key, value = _name(found[1]), found[2], found[3].strip()
        if is_key:
            keys[name] = value
        elif name in fields:
            raise ValueError(f"the header tells {found[1][:80]!r} twice")
        else:
            fields[name] = value
        if name in ("datafile", "datafiles") and not is_key and re.fullmatch(r"LIST(\s+\d+)?", value):
            return Head(
                "nrrd", {**keys, **fields}, tuple(filter(None, map(str.strip, lines[number + 1 :]))), end
            )
    if blank is None and not {"datafile", "datafiles"} & set(fields):
        raise ValueError("the header has no end")
    return Head("nrrd", {**keys, **fields}, (), end)


def _metaimage(start: bytes) -> Head:
    """Up to the field ElementDataFile, which is the last one."""
    last = re.search(rb"^[ \t]*ElementDataFile[ \t]*[=:][ \t]*([^\r\n]*)(\r?\n|\r|$)", start, re.MULTILINE)
    if last is None:
        raise ValueError("no field ElementDataFile")
    fields: dict[str, str] = {}
    for line in _text(start[: last.end(1)]).splitlines():
        name, mark, value = line.partition("=" if "=" in line else ":")
        if mark and name.strip():
            if _name(name) in fields:
                raise ValueError(f"the header tells {name[:80]!r} twice")
            fields[_name(name)] = value.strip()
    lists: tuple[str, ...] = ()
    if fields["elementdatafile"].startswith("LIST"):
        lists = tuple(filter(None, map(str.strip, _text(start[last.end() :]).splitlines())))
    return Head("mha", fields, lists, last.end())


def _name(name: str) -> str:
    return name.strip().replace(" ", "").lower()


def _text(head: bytes) -> str:
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError:  # both standards have ASCII
        return head.decode("latin-1")


def _listed(value: str) -> list[str]:
    """``"um" "um" ""`` or ``um``."""
    return re.findall(r'"([^"]*)"', value) if '"' in value else value.split()
