"""Series straight from a scanner or an archive -> data folder, without what names the patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semivox.cohort.dataset_json import label_entries
from semivox.cohort.dicom.scans import DicomScan, scans_below
from semivox.cohort.formats import read_volume, write_volume
from semivox.cohort.importers.hdf5 import no_files
from semivox.cohort.importers.lists import choose
from semivox.cohort.new_folder import new_folder, refuse_occupied, write_tables
from semivox.cohort.regions import NONE
from semivox.errors import DataError


def import_dicom(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """A folder, nested folders or an archive of DICOM series -> data folder with a NIfTI file a series.

    A case is called as its folder is where that holds one scan and does not name the patient, else by the
    patient's pseudonym and the series' number; a list's entry is such a name. ``cases.csv`` has the pseudonym
    as the patient. The channel is called by the modality, so CT is known. Nothing is labelled yet: the class
    ``structure`` in ``dataset.json`` is to be renamed. Series that are no scans (localisers, screens) stay
    out; one that would be read wrong is an error, so that nobody misses it later.
    """
    src = Path(src)
    scans, _ = scans_below(src)
    if not scans:
        raise no_files(src, "DICOM series of CT, MR or other planes")
    by_name = {scan.name: scan for scan in scans}
    chosen = [by_name[name] for name in choose(by_name, list_file, src)]
    refuse_occupied(Path(dst))
    _refuse_faults(chosen)
    channel = _one_modality(chosen)
    with new_folder(Path(dst)) as folder:
        for sub in ("imagesTr", "labelsTr"):
            (folder / sub).mkdir()
        for scan in chosen:
            volume = read_volume(scan.path)
            write_volume(folder / "imagesTr" / f"{scan.name}_0000.nii.gz", volume.array, volume)
        dataset = {
            "name": "imported from DICOM",
            "channel_names": {"0": channel},
            **label_entries({}, NONE),
            "numTraining": 0,
            "file_ending": ".nii.gz",
        }
        rows = [{"case": scan.name, "patient": scan.patient or scan.name} for scan in chosen]
        write_tables(folder, dataset, rows, ("case", "patient"))
    return Path(dst)


def _refuse_faults(scans: Sequence[DicomScan]) -> None:
    faults = [(scan, scan.fault) for scan in scans if scan.fault is not None]
    if not faults:
        return
    scan, fault = faults[0]
    others = (
        ""
        if len(faults) == 1
        else f"; so are {len(faults) - 1} more: " + ", ".join(s.name for s, _ in faults[1:6])
    )
    raise DataError(
        fault.fault,
        path=fault.path,
        found=fault.found,
        expected=fault.expected,
        remedy=f"{fault.remedy}; or leave {scan.name} out with --list{others}",
    )


def _one_modality(scans: Sequence[DicomScan]) -> str:
    first = scans[0]
    for scan in scans:
        if scan.modality != first.modality:
            raise DataError(
                "series of several modalities, and a data folder has one kind of scan",
                path=scan.path.parent if scan.path.name.startswith("@") else scan.path,
                found=f"{scan.name} is {scan.modality}, {first.name} is {first.modality}",
                expected="one modality",
                remedy="import each on its own: names of the series of one, a line each, for --list",
            )
    return first.modality or "image"
