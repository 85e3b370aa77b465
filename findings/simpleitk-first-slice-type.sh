#!/usr/bin/env bash
# The first slice of a series decides whether the others keep their fractions.
#
# Expected: each slice of a DICOM series has its own RescaleSlope, and SimpleITK's series reader applies it.
# Happens:  it does, but the voxel type of the whole volume is that of the slice read first. If that one's slope is 1, the volume
#           is 16-bit integer and the values of all others lose their fractions, without a warning: 0.9 becomes 0. The same slices
#           with a slope of 0.5 in the first are read as 64-bit float, and are right.
# Versions: SimpleITK 2.5.7 (ITK 5.4).
# Matters:  a slope for each slice is usual in PET, where fractions are the signal (an uptake around 1, a threshold of 2.5), and
#           probability maps and masks stored as DICOM carry slopes too: a mask of 0.9999 reads as nothing.
# Instead:  call reader.SetOutputPixelType(sitk.sitkFloat32) before Execute(); the script shows that this is right.
# Source:   https://github.com/SimpleITK/SimpleITK/issues/1636 and https://github.com/SimpleITK/SimpleITK/pull/1640.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 SimpleITK==2.5.7 pydicom==3.0.2

venv/bin/python - <<'PYTHON'
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid


def read(folder: str, slopes: list[float], floats: bool = False) -> tuple[str, list[float]]:
    """Write a PET series of one stored value, 9, with these slopes; the reader's voxel type and a voxel of each slice."""
    Path(folder).mkdir(exist_ok=True)
    study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    names = []
    for number, slope in enumerate(slopes):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset("slice", {}, file_meta=meta, preamble=bytes(128))
        image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame_of_reference
        image.Modality, image.InstanceNumber, image.PatientID, image.PatientName = "PT", number + 1, "phantom", "Phantom^"
        image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness, image.Rows, image.Columns = [1, 1], 2, 8, 8
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.RescaleSlope, image.RescaleIntercept, image.Units = slope, 0, "BQML"
        image.PixelData = np.full((8, 8), 9, np.int16).tobytes()
        names.append(f"{folder}/{number}.dcm")
        image.save_as(names[-1], enforce_file_format=True)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    if floats:
        reader.SetOutputPixelType(sitk.sitkFloat32)
    volume = reader.Execute()
    return volume.GetPixelIDTypeAsString(), [round(float(v), 3) for v in sitk.GetArrayFromImage(volume)[:, 0, 0]]


whole = read("whole", [1, 0.5, 0.1])
half = read("half", [0.5, 0.5, 0.1])
asked = read("whole", [1, 0.5, 0.1], floats=True)
print("true 9, 4.5, 0.9, first slope 1:           ", *whole)
print("true 4.5, 4.5, 0.9, first slope 0.5:       ", *half)
print("true 9, 4.5, 0.9, asked for 32-bit float:  ", *asked)

if (whole, half[1], asked[1]) != (("16-bit signed integer", [9, 4, 0]), [4.5, 4.5, 0.9], [9, 4.5, 0.9]):
    raise SystemExit(f"CHANGED: {whole}, {half}, {asked}")
print("HOLDS: a whole slope in the first slice cuts the fractions off the others")
PYTHON
