"""Reading every file of a cohort once, before any work, and listing all that is wrong or odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from semivox.cohort.case import Case, Cohort, Split, is_ct
from semivox.cohort.check_report import CheckReport, Finding
from semivox.cohort.dataset_json import without_class
from semivox.cohort.folder import scan_folder
from semivox.cohort.formats import is_dicom, read_case, read_geometry, read_label
from semivox.cohort.geometry import Geometry, cohort_spacing
from semivox.cohort.grid_mismatch import grid_error
from semivox.cohort.identity import case_identity
from semivox.cohort.intensity import Intensity, unusual_intensities
from semivox.cohort.label_places import finds_labels, labels_wanted
from semivox.cohort.palettes import palette_faults
from semivox.cohort.prediction_mark import is_unedited_prediction, undrawn
from semivox.cohort.unused import labels_left_out
from semivox.cohort.unusual_grids import (
    far_spacings,
    forms_disagree,
    mixed_places,
    runs_otherwise,
    sheared_grids,
    two_forms,
)
from semivox.cohort.volume import not_finite
from semivox.errors import DataError

Progress = Callable[[int, int], None]
"""Called with (done, total) after each case."""


def check_cohort(
    data: str | Path | Cohort, split: Split | None = None, progress: Progress | None = None
) -> CheckReport:
    """Read every image, and the labels, and report all faults; it does not stop at the first.

    Parameters
    ----------
    data
        A data folder, or a cohort of one (then the folder's names are not looked at again).
    split
        Of a run: only its labelled cases' labels are read, and identities kept. None: all with a label.
    progress
        Called with (cases done, cases) after each case.

    Raises
    ------
    DataError
        The folder is not a data folder, or its dataset.json or cases.csv cannot be understood.
    """
    if isinstance(data, Cohort):
        cohort, findings, skipped = data, [], set()
    else:
        scan = scan_folder(data)
        cohort = scan.cohort
        findings = [Finding.of("error", *item) for item in scan.errors]
        findings += [Finding.of("warning", *item) for item in scan.warnings]
        skipped = {case for case, _ in scan.errors}
    labelled = _labelled_names(cohort, split)
    grids: dict[str, Geometry] = {}
    intensities: dict[str, Intensity] = {}
    present: Counter[int] = Counter()
    disagreeing: list[str] = []
    for done, case in enumerate(cohort.cases, start=1):
        if case.name not in skipped:
            for severity, error in _check_case(
                cohort,
                case,
                case.name in labelled,
                split is not None,
                grids,
                intensities,
                present,
                disagreeing,
            ):
                findings.append(Finding.of(severity, case.name, error))
        if progress is not None:
            progress(done, len(cohort.cases))
    findings += [Finding.of("error", *found) for found in _unlike(cohort, grids, labelled - skipped)]
    findings += [Finding.of("warning", "", error) for error in _mixed_spacing(cohort, grids)]
    lacking = _empty_classes(cohort, len(labelled), present, split is not None)
    findings += [Finding.of("error", "", error) for error in lacking]
    images = {case.name: case.images[0] for case in cohort.cases if case.images}
    for name, error in unusual_intensities(intensities, images, cohort.channels):
        findings.append(Finding.of("warning", name, error))
    spacing = cohort_spacing(cohort.spacing_known, (grid.spacing_status for grid in grids.values()))
    if spacing == "known":
        planes = max(len(cohort.channels), len(cohort.classes) + 1)
        findings += [Finding.of(*found) for found in far_spacings(grids, images, planes)]
    odd = (*sheared_grids(cohort.root, grids), *mixed_places(cohort.root, grids))
    findings += [Finding.of("warning", "", error) for error in (*odd, *two_forms(cohort.root, disagreeing))]
    findings += [Finding.of("warning", "", error) for error in _cut_patients(cohort, split)]
    return CheckReport(
        root=cohort.root,
        findings=tuple(sorted(findings, key=lambda f: f.severity)),  # stable: errors first
        cases=len(cohort.cases),
        labeled=len(labelled),
        channels=cohort.channels,
        dims=_majority_dims(grids),
        shapes=tuple(grid.shape for grid in grids.values()),
        spacings_mm=tuple(s for grid in grids.values() if (s := grid.spacing_mm) is not None),
        spacing=spacing,
        classes={name: present[number] for number, name in cohort.structures.items()},
    )


def _labelled_names(cohort: Cohort, split: Split | None) -> set[str]:
    if split is not None:
        return {case.name for case in split.labeled}
    return {case.name for case in cohort.cases if case.label is not None and case.role == ""}


def _check_case(
    cohort: Cohort,
    case: Case,
    labelled: bool,
    recorded: bool,
    grids: dict[str, Geometry],
    intensities: dict[str, Intensity],
    present: Counter[int],
    disagreeing: list[str],
) -> Iterator[tuple[str, DataError]]:
    """Faults of one case; its grid, intensities and classes are added to the mappings, and its name to those
    whose sform and qform disagree."""
    grid = None
    try:
        volume = read_case(case)
    except DataError as error:
        yield "error", error
    else:
        if recorded:
            case_identity(case, volume)  # for the run's record, which then need not read it again
        array = volume.array
        grid = Geometry(
            volume.shape, volume.channels, volume.affine, array.dtype, volume.spacing_status, volume.placed
        )
        grids[case.name] = grid
        for note in volume.notes:
            yield "warning", DataError(note, path=case.images[0])
        yield from _other_modality(cohort, case)
        if forms_disagree(volume):
            disagreeing.append(case.name)
        if volume.channels != len(cohort.channels):
            yield "error", _wrong_channels(cohort, case, volume.channels)
        if (broken := not_finite(volume)) is not None:
            yield "error", broken
        elif volume.channels == len(cohort.channels):
            intensities[case.name] = Intensity.of(array)
        del volume, array  # before the label is read: one array at a time
    if labelled and case.label is not None:
        yield from _check_label(cohort, case, grid, present)


def _check_label(
    cohort: Cohort, case: Case, grid: Geometry | None, present: Counter[int]
) -> Iterator[tuple[str, DataError]]:
    path = case.label
    assert path is not None
    try:
        label = read_label(path, grid, cohort.classes, cohort.regions)
        told = read_geometry(path, label=True)
        unedited = is_unedited_prediction(path, label.array[0])
    except DataError as error:
        yield "error", error
        return
    if told.dtype.kind == "f":
        yield (
            "warning",
            DataError(
                "the label stores whole numbers as floats (accepted)",
                path=path,
                found=told.dtype,
                expected="an integer type",
            ),
        )
    to_draw_in = undrawn(path, label.array[0], cohort.ignore) if unedited else None
    if to_draw_in is not None:
        yield "error", to_draw_in
    elif unedited:
        yield (
            "warning",
            DataError(
                "the label is a prediction of semivox that nobody has edited",
                path=path,
                found="what `predict` wrote, voxel for voxel",
                expected="a label that a person drew or corrected",
                remedy="correct it in an editor, or remove it",
            ),
        )
    if grid is not None:
        different = grid_error("image and label lie on different grids", path, label, case.images[0], grid)
        if different is not None:
            yield "error", different
        elif (mirrored := runs_otherwise(case.images[0], grid, told)) is not None:
            yield "warning", mirrored
    values, counts = np.unique(label.array, return_counts=True)
    voxels = {int(v): int(n) for v, n in zip(values, counts, strict=True)}
    known = {0, *cohort.classes, *(() if cohort.ignore is None else (cohort.ignore,))}
    foreign = [v for v in voxels if v not in known]
    if foreign:
        yield (
            "error",
            DataError(
                "label value outside the declared labels",
                path=path,
                found=", ".join(f"{v} ({voxels[v]} voxels)" for v in foreign[:5])
                + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""),
                expected=", ".join(map(str, sorted(known))),
                remedy="declare it under 'labels' in dataset.json, or mend the label file",
            ),
        )
    found = _structures_in(cohort, voxels)
    yield from _empty_label(cohort, case, path, found)
    present.update(number for number in cohort.structures_of(case) if number in found)


def _structures_in(cohort: Cohort, voxels: Iterable[int]) -> set[int]:
    """Numbers of the structures of which a label with these values has a voxel."""
    there = set(voxels)
    if not cohort.regions:
        return there & set(cohort.classes)
    return {number for number, parts in cohort.regions.parts.items() if there & set(parts)}


def _empty_label(
    cohort: Cohort, case: Case, path: Path, there: Collection[int]
) -> Iterator[tuple[str, DataError]]:
    """``there``: numbers of the structures that the label shows."""
    annotated, named = cohort.structures_of(case), cohort.structures
    absent = [number for number in annotated if number not in there and number not in cohort.may_be_empty]
    if absent:
        names = ", ".join(named[number] for number in absent)
        whole = not any(number in there for number in annotated)
        yield (
            "warning",
            DataError(
                "the label is empty" if whole else "the label lacks a class",
                path=path,
                found=f"no voxel of {names}",
                remedy="if that is right, list the class under 'may_be_empty' in dataset.json",
            ),
        )
    surplus = [number for number in named if number in there and number not in annotated]
    if surplus:
        yield (
            "warning",
            DataError(
                "the label holds a class that cases.csv does not list as annotated (taken as background)",
                path=path,
                found=", ".join(named[number] for number in surplus),
                expected=", ".join(named[number] for number in annotated),
                remedy="add it to 'annotated' if it is annotated throughout",
            ),
        )


def _mixed_spacing(cohort: Cohort, grids: Mapping[str, Geometry]) -> Iterator[DataError]:
    """A cohort in which a few scans decide that there are no millimetres."""
    silent = [name for name, grid in grids.items() if grid.spacing_status != "known"]
    if cohort.spacing_known and 0 < len(silent) < len(grids):
        yield DataError(
            "some scans do not tell their spacing, so the whole folder is measured in pixels",
            path=cohort.root,
            found=", ".join(silent[:5]) + (" ..." if len(silent) > 5 else ""),
            expected=f"spacing in mm, as in the {len(grids) - len(silent)} other scans",
            remedy="write it into these files, or keep them in a folder of their own",
        )


def _other_modality(cohort: Cohort, case: Case) -> Iterator[tuple[str, DataError]]:
    """A channel that is called CT and was made by another machine, or the other way round: CT is clipped to
    the cohort's range, all else is normalised scan by scan."""
    for path, channel in zip(case.images, cohort.channels, strict=False):
        if not is_dicom(path):
            continue
        from semivox.cohort.dicom.volume import modality_of

        modality = modality_of(path)
        if modality and not channel.startswith("channel_") and (modality == "CT") != is_ct(channel):
            yield (
                "warning",
                DataError(
                    "the scan is of another modality than its channel's name says",
                    path=path,
                    found=f"{modality}, in the channel {channel!r}",
                    expected="a channel called CT for CT, and for nothing else",
                    remedy="correct 'channel_names' in dataset.json, or leave the scan out",
                ),
            )


def _wrong_channels(cohort: Cohort, case: Case, channels: int) -> DataError:
    return DataError(
        "wrong number of channels",
        path=case.images[0],
        found=f"{channels} in {len(case.images)} file(s)",
        expected=f"{len(cohort.channels)} ({', '.join(cohort.channels)})",
        remedy="correct the file or 'channel_names' in dataset.json",
    )


def _majority_dims(grids: Mapping[str, Geometry]) -> int | None:
    counts = Counter(grid.dims for grid in grids.values())
    return counts.most_common(1)[0][0] if counts else None


def _unlike(
    cohort: Cohort, grids: Mapping[str, Geometry], labelled: Collection[str]
) -> Iterator[tuple[str, DataError]]:
    """What cannot be learned from together: dimensions, and palettes of labels."""
    yield from _mixed_dims(cohort, grids)
    cases = {c.label: c.name for c in cohort.cases if c.label is not None and c.name in labelled}
    yield from ((cases[path], fault) for path, fault in palette_faults(cases))


def _mixed_dims(cohort: Cohort, grids: Mapping[str, Geometry]) -> Iterator[tuple[str, DataError]]:
    dims = _majority_dims(grids)
    for case in cohort.cases:
        if case.name in grids and grids[case.name].dims != dims:
            yield (
                case.name,
                DataError(
                    "2D and 3D images are mixed",
                    path=case.images[0],
                    found=f"{grids[case.name].dims}D, shape {grids[case.name].shape}",
                    expected=f"{dims}D as most cases",
                    remedy="keep them in two data folders",
                ),
            )


def _empty_classes(
    cohort: Cohort, labelled: int, present: Mapping[int, int], split_given: bool
) -> Iterator[DataError]:
    if labelled == 0 and not split_given and not finds_labels(cohort):
        return  # series straight from a scanner, to predict or to import
    if labelled == 0:
        yield _no_label(cohort)
        return
    for number, name in cohort.structures.items():
        if not present.get(number):
            values = ", ".join(map(str, cohort.regions.parts.get(number, (number,))))
            yield DataError(
                f"no labelled case has class {name!r}",
                path=cohort.root,
                found=f"value {values} in none of {labelled} labels",
                expected="at least one labelled case with it",
                remedy=without_class(number, cohort),
            )


def _no_label(cohort: Cohort) -> DataError:
    found, remedy = f"{len(cohort.cases)} unlabelled cases", ""
    if faults := labels_left_out(cohort):  # they are there, and what keeps them from counting is known
        found += f"; {faults[0].fault}: {faults[0].path}"
        more = f" ({len(faults) - 1} more such: semivox check lists all)" if len(faults) > 1 else ""
        remedy = f"{faults[0].remedy}{more}"
    return DataError(
        "no labelled case",
        path=cohort.root,
        found=found,
        expected="at least one label file",
        remedy=remedy or labels_wanted(cohort),
    )


def _cut_patients(cohort: Cohort, split: Split | None) -> Iterator[DataError]:
    """Patients with labelled cases in the run and other cases whose label the split sets aside."""
    if split is None:
        return
    labelled, unlabelled = ({case.name for case in part} for part in (split.labeled, split.unlabeled))
    for patient in dict.fromkeys(case.patient for case in split.labeled):
        own = [case for case in cohort.cases if case.patient == patient]
        aside = _names(c for c in own if c.name in unlabelled and c.label is not None and c.role == "")
        if aside:
            yield DataError(
                f"patient {patient!r} is cut: some of its cases are labelled, others unlabelled",
                path=cohort.root,
                found=f"labelled {_names(c for c in own if c.name in labelled)}; unlabelled {aside}",
                remedy="count patients instead (--labeled Kp)",
            )


def _names(cases: Iterable[Case]) -> str:
    return ", ".join(case.name for case in cases)
