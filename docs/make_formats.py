"""Writes docs/reference/formats.md from the rows of the table of formats.

python docs/make_formats.py
"""

from __future__ import annotations

from pathlib import Path

from semivox.cohort.format_table import FORMATS, Format

PAGE = Path(__file__).parent / "reference" / "formats.md"

HEAD = """\
# Formats

What is read, where spacing comes from, and what a mask is written as. This page is made from the source by
`python docs/make_formats.py`; how to add a row is told in [Add a format](../how-to/add-a-format.md).

| format | endings | dimensions | spacing and place | channels | tried with files of |
|---|---|---|---|---|---|
"""
GRIDS = """
## When two files lie on one grid

An image and its label, or the channels of a case, must agree in shape, and as far as both tell it in spacing
and place. A trailing axis of length 1 is no axis. A header that tells no place (a NIfTI whose form codes are
both 0, a NRRD with `spacings` alone, a TIFF) contradicts none. Otherwise the message names what headers show:

| cause | remedy |
|---|---|
| a sform and a qform disagree, the label was drawn by the other | copy the image's header to the label |
| the label's header says 1 mm voxels at 0: it was lost | copy the image's header to the label |
| the same box, with axes that run another way | turn the label to the axes of its image |
| another place | if it was drawn on this image, copy the header; else resample |
| another shape | resample, without interpolation |

Copying a header leaves the voxels as they are. A file whose affine holds NaN, an axis of length 0, or axes
that do not span its dimensions is refused by name.
"""
WRITTEN = """
## Written as

By default a mask is written in the format of its scan. `--format` chooses another.

| format | `--format` | written in place of |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(map(_read, FORMATS)) + GRIDS + WRITTEN + "".join(map(_written, FORMATS))


def _read(row: Format) -> str:
    return _row(row.title, _codes(row.endings), row.dims, row.spacing, row.channels, row.tried)


def _written(row: Format) -> str:
    others = [f"`{header}`: its voxels lie in a second file" for header in row.detached]
    others += [
        f"{other.title}, for what it cannot hold, such as floats"
        for other in FORMATS
        if other.instead == row.name
    ]
    return _row(row.title, _codes(row.choices) or "only as `same`", "; ".join(others))


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
