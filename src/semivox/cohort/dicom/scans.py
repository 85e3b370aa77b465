"""The scans of a folder or archive of DICOM series, and what they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from semivox.cohort.dicom.headers import instances_in
from semivox.cohort.dicom.pseudonyms import names_patient, pseudonym, short_hash
from semivox.cohort.dicom.series import Series, no_scan, only_scan_at, series_in, stack_of
from semivox.cohort.formats import stem_of
from semivox.errors import DataError


@dataclass(frozen=True)
class DicomScan:
    """A series that is a scan. ``name``: that of its folder or archive where it is the only one there, else
    made of the patient's pseudonym and the series' number; ``fault``: why it cannot be read."""

    name: str
    path: Path
    patient: str
    modality: str
    fault: DataError | None


def scans_below(root: Path, named: bool = True) -> tuple[list[DicomScan], list[DataError]]:
    """The scans, sorted by name, and findings on all else that lies there; ``named``: a folder's name may be
    that of its scan."""
    series = series_in(root)
    findings = [finding for s in series if (finding := no_scan(s)) is not None]
    broken = instances_in(root)[1]
    if broken:
        findings.append(
            DataError(
                f"{broken} file(s) of DICOM cannot be read",
                path=root,
                remedy="copy the folder again; a series that lacks planes is named on its own",
            )
        )
    scans = [s for s in series if no_scan(s) is None]
    places = {id(s): _own_place(root, s) if named else None for s in scans}
    shared = Counter(place for place in places.values() if place is not None)
    found: list[DicomScan] = []
    for one in scans:
        place = places[id(one)]
        alone = place is not None and shared[place] == 1 and (place != root or len(scans) == 1)
        name = stem_of(place) if alone and place is not None else ""
        path = place if alone and place is not None else one.path
        if not name or names_patient(name, one.first):
            name, path = _made_name(one), one.path
        found.append(DicomScan(name, path, pseudonym(one.first), one.first.modality, _fault(one)))
    return sorted(_apart(found), key=lambda scan: scan.name), findings


def patient_of(path: Path) -> str:
    """The pseudonym of a scan's patient; "" where the scan cannot be read or does not tell."""
    try:
        return pseudonym(only_scan_at(path).first)
    except DataError:
        return ""


def _own_place(root: Path, series: Series) -> Path | None:
    """What right below ``root`` holds all of a series: a folder or an archive, or ``root`` for loose files;
    None where it is scattered."""
    tops = set()
    for instance in series.instances:
        file = instance.place.file
        if file == root or (file.parent == root and not instance.place.member):
            tops.add(root)
        else:
            tops.add(root / file.relative_to(root).parts[0])
    return tops.pop() if len(tops) == 1 else None


def _made_name(series: Series) -> str:
    number = "x" if series.first.number is None else f"{series.first.number:03d}"
    return f"p{pseudonym(series.first) or short_hash(series.first.study)}_s{number}"


def _apart(scans: list[DicomScan]) -> list[DicomScan]:
    """Two series of one number, as of two studies of a patient, get a part of their UID's hash."""
    counts = Counter(scan.name for scan in scans)
    return [
        DicomScan(f"{s.name}_{short_hash(s.path.name)}", s.path, s.patient, s.modality, s.fault)
        if counts[s.name] > 1
        else s
        for s in scans
    ]


def _fault(series: Series) -> DataError | None:
    try:
        stack_of(series)
    except DataError as error:
        return error
    return None
