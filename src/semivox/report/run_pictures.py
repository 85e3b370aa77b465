"""Pictures of held-out cases: some in scrollable slices, others in one slice; and where their files lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from semivox.cohort import Case, Cohort, is_ct, load_cohort, read_case, read_label
from semivox.errors import DataError
from semivox.report.held_out import Section, Shown
from semivox.report.mask_files import mask_file
from semivox.report.other_programs import open_commands
from semivox.report.run_record import HeldOut
from semivox.report.slices import one_slice, slice_record
from semivox.report.still import Still, outlines_of, still_of

LOST = 6
"""So many cases without a picture are named."""


@dataclass(frozen=True)
class CasePicture:
    """``shown``: the case and why; ``record`` for the viewer; ``still`` and ``outlines`` of its first slice;
    ``files`` of the case by what they are, ``commands`` that open them: (program, command)."""

    shown: Shown
    record: dict[str, Any]
    still: Still
    outlines: Markup
    files: list[tuple[str, str]]
    commands: list[tuple[str, str]]


@dataclass(frozen=True)
class SmallPicture:
    """One slice of a further case."""

    case: str
    key: str
    facts: str
    several: bool
    still: Still
    outlines: Markup


@dataclass(frozen=True)
class Pictures:
    """Of one section. ``lost``: a sentence on what cannot be shown."""

    cases: list[CasePicture] = field(default_factory=list)
    others: list[SmallPicture] = field(default_factory=list)
    lost: str = ""


def pictures_of(held: HeldOut, section: Section, budget: int) -> Pictures:
    """``budget``: bytes of one case in slices."""
    if not section.shown:
        return Pictures()
    if held.data is None:
        return Pictures(lost="Where the scans lie was not recorded, so there are no pictures of them.")
    try:
        cohort = load_cohort(held.data)
    except DataError as error:
        return Pictures(lost=f"The scans cannot be found again, so there are no pictures of them: {error}")
    places = {case.name: case for case in cohort.cases}
    found, others, lost = list[CasePicture](), list[SmallPicture](), list[str]()

    def tell(case: str, error: Exception) -> None:
        lost.append(f"{case}: {error}" if isinstance(error, DataError) else f"{case}: not there any more")

    for one in section.shown:
        try:
            found.append(_scrollable(held, cohort, places[one.case], one, budget))
        except (DataError, KeyError) as error:
            tell(one.case, error)
    for one in section.others:
        try:
            others.append(_small(held, cohort, places[one.case], one))
        except (DataError, KeyError) as error:
            tell(one.case, error)
    more = f"; and {len(lost) - LOST} more" if len(lost) > LOST else ""
    said = f"No picture of {'; '.join(lost[:LOST])}{more}" if lost else ""
    return Pictures(found, others, said)


def _scrollable(held: HeldOut, cohort: Cohort, case: Case, one: Shown, budget: int) -> CasePicture:
    image, masks, reference, classes = _read(held, cohort, case)
    record = slice_record(
        case.name,
        image,
        masks,
        reference,
        classes,
        budget=budget,
        parts=held.parts,
        spacing_known=held.spacing_known,
        ct=is_ct(cohort.channels[0]),
    )
    mask = _mask_of(held, case.name)
    files = [("mask", str(mask)), *(("scan", str(path)) for path in case.images)]
    if reference is not None:
        files.append(("reference", str(case.label)))
    commands = open_commands(case.images[0], mask, image.dims)
    return CasePicture(one, record, still_of(record), outlines_of(record), files, commands)


def _small(held: HeldOut, cohort: Cohort, case: Case, one: Shown) -> SmallPicture:
    image, masks, reference, classes = _read(held, cohort, case)
    how: dict[str, Any] = {"parts": held.parts, "spacing_known": held.spacing_known}
    record = one_slice(case.name, image, masks, reference, classes, **how)
    return SmallPicture(one.case, one.key, one.facts, len(classes) > 1, still_of(record), outlines_of(record))


def _read(held: HeldOut, cohort: Cohort, case: Case) -> tuple[Any, Mapping[str, Any], Any, dict[int, str]]:
    """Scan, masks by name, reference (or None) and classes."""
    image = read_case(case)
    mask = read_label(_mask_of(held, case.name), image, regions=cohort.regions)
    masks = {"prediction": mask.array[0]}
    reference = None
    if case.label is not None and case.name in (held.content or {}).get("cases", {}):
        reference = read_label(case.label, image, regions=cohort.regions).array[0]
    if any(mask.shape != image.shape for mask in (*masks.values(), reference) if mask is not None):
        raise DataError("the scan has another shape than its mask", path=case.images[0])
    return image, masks, reference, {int(value): name for value, name in held.classes.items()}


def _mask_of(held: HeldOut, case: str) -> Path:
    found = mask_file(held.masks, case, held.rows.get(case, {}).get("mask"))
    if found is None:
        raise DataError("no mask of this case", path=held.masks, found=case)
    return found
