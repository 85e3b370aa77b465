"""Made-up scans as a scanner would send them: a folder of DICOM files a scan, to try the way in and out.

    python docs/examples/phantom_series.py SCANS SERIES

writes each volume of the folder SCANS (such as ``phantoms/test/imagesTr``) as a series below SERIES, and
beside them what hospitals send along: a localiser, and a series that lost a plane.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from semivox import Volume, read_volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_series(
    folder: Path, volume: Volume, number: int, name: str, patient: str, study: str, skip: int = -1
) -> None:
    """One file a plane; plane ``skip`` is left out."""
    folder.mkdir(parents=True)
    affine, spacing = LPS @ volume.affine, volume.voxel_edges
    directions = affine[:3, :3] / spacing
    stored = np.clip(np.rint(volume.array[0]), 0, 4095).astype(np.uint16)
    series, frame = generate_uid(), generate_uid()
    for k in range(stored.shape[2]):
        if k == skip:
            continue
        plane = Dataset()
        plane.file_meta = FileMetaDataset()
        plane.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        plane.SOPClassUID, plane.SOPInstanceUID = MRImageStorage, generate_uid()
        plane.SeriesInstanceUID, plane.StudyInstanceUID, plane.FrameOfReferenceUID = series, study, frame
        plane.Modality, plane.SeriesNumber, plane.InstanceNumber = "MR", number, k + 1
        plane.SeriesDescription, plane.PatientID, plane.PatientName = name, patient, f"{patient}^PHANTOM"
        plane.StudyID, plane.StudyDate, plane.StudyTime = "1", "20260101", "120000"
        plane.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if name == "localiser" else "M"]
        plane.Columns, plane.Rows, plane.SamplesPerPixel = stored.shape[0], stored.shape[1], 1
        plane.PhotometricInterpretation, plane.PixelRepresentation = "MONOCHROME2", 0
        plane.BitsAllocated, plane.BitsStored, plane.HighBit = 16, 12, 11
        plane.PixelSpacing, plane.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        plane.ImageOrientationPatient = [float(f"{v:.12g}") for v in directions[:, :2].T.ravel()]
        plane.ImagePositionPatient = [float(f"{v:.10g}") for v in affine[:3, 3] + affine[:3, 2] * k]
        plane.PixelData = np.ascontiguousarray(stored[:, :, k].T).tobytes()
        plane.save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)


def main(scans: Path, out: Path) -> None:
    """Every volume of ``scans``; of the first also a localiser and a series with a gap."""
    for i, path in enumerate(sorted(scans.iterdir())):
        volume, patient, study = read_volume(path), f"MRN{1000 + i}", generate_uid()
        write_series(out / patient / "s2", volume, 2, "T1 axial", patient, study)
        if i == 0:
            few = Volume(volume.array[..., :3], volume.affine)
            write_series(out / patient / "s1", few, 1, "localiser", patient, study)
            write_series(out / patient / "s3", volume, 3, "T1 axial, again", patient, study, skip=4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
