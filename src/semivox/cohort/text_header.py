"""The text at the head of NRRD and MetaImage files, for what SimpleITK does not tell: whether the spacing is
given at all, and in which unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semivox.cohort.units import mm_per_unit
from semivox.cohort.volume import SpacingStatus

LONGEST = 1 << 20
STATUS = "semivox_spacing"
"""Our own key, in both formats: the status of a volume whose spacing is not known."""


class Told(NamedTuple):
    """Millimetres in the unit of a file's lengths, what they are worth, and whether a place is told."""

    mm: float
    status: SpacingStatus
    placed: bool


def nrrd_head(path: Path) -> str:
    """The text of a NRRD's header, up to its first empty line."""
    head = re.split(rb"\r?\n\r?\n", _start(path), maxsplit=1)[0]
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError:  # the standard has ASCII
        return head.decode("latin-1")


def told(path: Path) -> Told:
    """What the header says of its lengths and its place."""
    head = _start(path)
    fields = _nrrd(head) if head.startswith(b"NRRD") else _metaimage(head)
    placed = any(re.search(r"\d", fields.get(key, "")) for key in PLACES)
    return Told(*_spacing(fields), placed)


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


def _nrrd(head: bytes) -> Mapping[str, str]:
    text = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0].decode("latin-1")
    return _fields(re.findall(r"^([^#:\n]+):=?[ \t]*(.*?)\r?$", text, re.MULTILINE))


def _metaimage(head: bytes) -> Mapping[str, str]:
    text = head.split(b"ElementDataFile", maxsplit=1)[0].decode("latin-1")
    return _fields(re.findall(r"^([^=\n]+?)[ \t]*=[ \t]*(.*?)\r?$", text, re.MULTILINE))


def _fields(found: list[tuple[str, str]]) -> Mapping[str, str]:
    return {name.replace(" ", "").lower(): value for name, value in found}


def _listed(value: str) -> list[str]:
    """``"um" "um" ""`` or ``um``."""
    return re.findall(r'"([^"]*)"', value) if '"' in value else value.split()
