"""Series of made-up planes, as pydicom writes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

SPACING = (0.7, 0.8, 2.5)
ORIGIN = (-10.0, -20.0, 30.0)
PATIENT, NAME = "P-000123", "DOE^JANE"


def numbers(seed: int = 0, shape: tuple[int, int, int] = (12, 10, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2000, shape)


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    axes: np.ndarray | None = None,
    modality: str = "CT",
    number: int = 4,
    slopes: Sequence[float] | None = None,
    intercepts: Sequence[float] | None = None,
    signed: bool = False,
    left_out: Collection[int] = (),
    shift: Callable[[int], Sequence[float]] | None = None,
    uids: tuple[str, str] | None = None,
    change: Callable[[int, Dataset], None] | None = None,
    **tags: Any,
) -> list[Path]:
    """``array`` (X, Y, Z) as a file a plane, in an order of names that is not that of the planes.

    ``axes``: columns are the directions of X, Y and Z in LPS. ``shift``: what is added to a plane's position.
    ``change`` may alter the object of each plane before it is written.
    """
    axes = np.eye(3) if axes is None else axes
    folder.mkdir(parents=True, exist_ok=True)
    series, study = uids or (generate_uid(), generate_uid())
    frame_of_reference = generate_uid()
    paths = []
    for k in range(array.shape[2]):
        if k in left_out:
            continue
        plane = Dataset()
        plane.file_meta = FileMetaDataset()
        plane.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        plane.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        plane.SOPInstanceUID = generate_uid()
        plane.SeriesInstanceUID, plane.StudyInstanceUID = series, study
        plane.FrameOfReferenceUID = frame_of_reference
        plane.Modality, plane.SeriesNumber, plane.InstanceNumber = modality, number, k + 1
        plane.SeriesDescription = f"Abdomen {number}"
        plane.PatientID, plane.PatientName = PATIENT, NAME
        plane.PatientBirthDate, plane.PatientSex = "19700101", "O"
        plane.StudyID, plane.AccessionNumber, plane.ReferringPhysicianName = "1", "", ""
        plane.StudyDate, plane.StudyTime, plane.Manufacturer = "20260101", "120000", "none"
        plane.PositionReferenceIndicator = ""
        plane.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        plane.Columns, plane.Rows, plane.SamplesPerPixel = array.shape[0], array.shape[1], 1
        plane.PhotometricInterpretation = "MONOCHROME2"
        plane.BitsAllocated, plane.BitsStored, plane.HighBit = 16, 16, 15
        plane.PixelRepresentation = int(signed)
        plane.PixelSpacing, plane.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        plane.ImageOrientationPatient = [float(f"{v:.12g}") for v in (*axes[:, 0], *axes[:, 1])]
        position = np.array(ORIGIN) + axes[:, 2] * SPACING[2] * k + (0 if shift is None else shift(k))
        plane.ImagePositionPatient = [float(f"{v:.10g}") for v in position]
        if modality == "CT" or slopes is not None:
            plane.RescaleSlope = 1 if slopes is None else slopes[k]
            plane.RescaleIntercept = -1024 if intercepts is None else intercepts[k]
        rows = np.ascontiguousarray(array[:, :, k].T).astype(np.int16 if signed else np.uint16)
        plane.PixelData = rows.tobytes()
        for name, value in tags.items():
            setattr(plane, name, value)
        if change is not None:
            change(k, plane)
        paths.append(folder / f"IM{number:02d}_{(k * 7) % 1000:03d}")
        plane.save_as(paths[-1], enforce_file_format=True)
    return paths
