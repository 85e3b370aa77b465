"""What the file of a case's mask, or of a map beside it, is called: the case's whole name and an ending."""

from __future__ import annotations

from semivox.cohort.format_table import CHOICES, WRITABLE, ending_in, mask_ending
from semivox.errors import DataError, SettingsError


def mask_name(case: str, scan: str | None, format: str = "same") -> str:
    """``CASE.EXT``: all of the case's name, whose dots are its own, and the ending of ``format``, one of
    ``WRITABLE``; "same": that of the mask of a scan with the ending ``scan`` (None: DICOM).

    Raises as :func:`with_ending`.
    """
    return with_ending(case, ending_for(format) or mask_ending(scan))


def ending_for(format: str) -> str | None:
    """The ending that ``--format`` asks for; None for "same". Raises SettingsError where there is no such."""
    if format not in WRITABLE:
        raise SettingsError("no such format to write", found=format, expected=" or ".join(WRITABLE))
    return CHOICES.get(format)


def with_ending(stem: str, ending: str) -> str:
    """Their name. Raises DataError where it would be read as that of another case: ``x.seg`` with ``.nrrd``
    is the ``.seg.nrrd`` of x."""
    name, read = stem + ending, ending_in(stem + ending) or ""
    if read == ending.lower():
        return name
    raise DataError(
        f"the file of case {stem!r} would be read as that of another case",
        found=f"{name}, which is the {read} of case {name[: -len(read)]!r}",
        expected=f"a name that ends in {ending} alone",
        remedy="rename the scan, or choose another format",
    )
