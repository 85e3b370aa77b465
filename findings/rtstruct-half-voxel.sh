#!/usr/bin/env bash
# A mask written as a DICOM RTSTRUCT by rt-utils is half a voxel too small all round.
#
# Expected: the contours of an RTSTRUCT enclose the structure, so their area is that of the mask.
# Happens:  rt-utils draws its contours through the centres of the outermost voxels. A square of 5 x 5 mm voxels encloses 16 mm2
#           instead of 25, one of 20 x 20 encloses 361 instead of 400, and a single voxel encloses nothing. Reading the file with
#           rt-utils gives the mask back voxel for voxel (it fills the line too), so a round trip proves nothing.
# Versions: rt-utils 1.2.7 with opencv-python-headless 5.0.0.93 and pydicom 3.0.2.
# Matters:  RTSTRUCT is how network contours reach treatment planning, which takes volumes and dose from the enclosed area. A small
#           node or lesion loses a third of its area before anyone has corrected it.
# Instead:  write contours along the voxel edges (rt-utils has merged an option for it since this version), and check a writer by the
#           area of its polygons, not by a round trip.
# Source:   https://github.com/qurit/rt-utils/issues/86 and https://github.com/qurit/rt-utils/pull/141 (an opt-in for voxel edges).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pydicom==3.0.2 opencv-python-headless==5.0.0.93 rt-utils==1.2.7

venv/bin/python - <<'PYTHON'
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
Path("ct").mkdir()
for number in range(3):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("slice", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame_of_reference
    image.Modality, image.InstanceNumber, image.PatientID, image.PatientName = "CT", number + 1, "phantom", "Phantom^"
    for empty in ("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "PatientBirthDate", "PatientSex",
                  "ReferringPhysicianName", "PatientAge", "PatientSize", "PatientWeight"):  # fmt: skip
        setattr(image, empty, None)
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness, image.Rows, image.Columns = [1, 1], 2, 32, 32
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.PixelData = np.zeros((32, 32), np.int16).tobytes()
    image.save_as(f"ct/{number}.dcm", enforce_file_format=True)


def enclosed(side: int) -> tuple[float, int]:
    """Area in mm2 that the contour of a square mask encloses, and the voxels of the mask rt-utils reads back."""
    mask = np.zeros((32, 32, 3), bool)
    mask[4 : 4 + side, 4 : 4 + side, 1] = True
    builder = RTStructBuilder.create_new(dicom_series_path="ct")
    builder.add_roi(mask=mask, name="square")
    builder.save("square.dcm")
    back = RTStructBuilder.create_from(dicom_series_path="ct", rt_struct_path="square.dcm").get_roi_mask_by_name("square")
    area = 0.0
    for contour in pydicom.dcmread("square.dcm").ROIContourSequence[0].ContourSequence:
        x, y, _ = np.array(contour.ContourData, float).reshape(-1, 3).T
        area += abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return float(area), int(back.sum())


seen = {side: enclosed(side) for side in (1, 5, 20)}
for side, (area, voxels) in seen.items():
    print(f"mask of {side * side} mm2: the contour encloses {area:g} mm2, rt-utils reads back {voxels} voxels of 1 mm2")

if seen != {side: ((side - 1) ** 2, side * side) for side in (1, 5, 20)}:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the contour runs through voxel centres, and a round trip hides it")
PYTHON
