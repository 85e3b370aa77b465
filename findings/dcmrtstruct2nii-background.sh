#!/usr/bin/env bash
# dcmrtstruct2nii turns a mask inside out on every slice with a contour, if the background is given any value but 0.
#
# Expected: mask_background_value is what the voxels outside of a structure get, and changes nothing else.
# Happens:  the slice is filled with that value first and then combined with the contour's inside by "exclusive or", which takes
#           any value but 0 for inside. With the background 1 and the foreground 2 what is around the organ comes out as 2 and the
#           organ as 1 on each slice that has a contour, while slices without one are 1, which is right: 284 voxels are organ,
#           2856 are said to be, and the Dice is 0.054. A hole drawn by a second contour is the one thing that is 1 on its slice.
# Versions: dcmrtstruct2nii 5, SimpleITK 2.5.7, scikit-image 0.26.0, pydicom 2.4.4, numpy 2.4.6.
# Matters:  the value is offered from 0 to 255 and checked to be, for instance for tools in which 0 means "not labelled". The mask
#           has both values and the organ's outline, and no warning tells.
# Instead:  leave the background at 0 and replace the values afterwards.
# Source:   DcmPatientCoords2Mask.convert in dcmrtstruct2nii/adapters/convert/rtstructcontour2mask.py
#           (https://github.com/Sikerdebaard/dcmrtstruct2nii).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7 scikit-image==0.26.0 \
    pydicom==2.4.4 termcolor==3.3.0
venv/bin/pip install --quiet --disable-pip-version-check --no-deps dcmrtstruct2nii==5

venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io
from pathlib import Path

import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

with contextlib.redirect_stdout(io.StringIO()):
    from dcmrtstruct2nii import dcmrtstruct2nii

study, series, frame = generate_uid(), generate_uid(), generate_uid()


def file(kind: str, modality: str, series: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("file", {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=False, is_little_endian=True)
    made.SOPClassUID, made.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    made.Modality, made.FrameOfReferenceUID, made.StudyInstanceUID, made.SeriesInstanceUID = modality, frame, study, series
    made.PatientID, made.PatientName = "phantom", "Phantom^"
    return made


def contour(low: float, high: float, z: float) -> Dataset:
    """A square around the centres of the voxels between."""
    made = Dataset()
    made.ContourGeometricType, made.NumberOfContourPoints = "CLOSED_PLANAR", 4
    made.ContourData = [low, low, z, high, low, z, high, high, z, low, high, z]
    return made


Path("ct").mkdir()
for number in range(10):
    image = file(CTImageStorage, "CT", series)
    image.InstanceNumber, image.ImagePositionPatient, image.SliceThickness = number + 1, [0, 0, 3 * number], 3
    image.ImageOrientationPatient, image.PixelSpacing, image.Rows, image.Columns = [1, 0, 0, 0, 1, 0], [1, 1], 32, 32
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.SamplesPerPixel, image.PhotometricInterpretation, image.RescaleSlope, image.RescaleIntercept = 1, "MONOCHROME2", 1, 0
    image.PixelData = np.zeros((32, 32), np.int16).tobytes()
    image.save_as(f"ct/{number}.dcm", write_like_original=False)

plan, roi, drawn = file(RTStructureSetStorage, "RTSTRUCT", generate_uid()), Dataset(), Dataset()
roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "organ", frame
drawn.ReferencedROINumber, drawn.ROIDisplayColor = 1, [255, 0, 0]
drawn.ContourSequence = [contour(9.6, 19.4, 3 * number) for number in (3, 4, 5)] + [contour(12.6, 16.4, 15)]  # a ring on slice 5
plan.StructureSetLabel, plan.StructureSetROISequence, plan.ROIContourSequence = "plan", [roi], [drawn]
plan.save_as("plan.dcm", write_like_original=False)

true = np.zeros((10, 32, 32), bool)
true[3:6, 10:20, 10:20] = True
true[5, 13:17, 13:17] = False
seen = {}
for background, foreground in ((0, 255), (0, 1), (1, 2), (255, 0)):
    out = f"out-{background}-{foreground}"
    dcmrtstruct2nii("plan.dcm", "ct", out, gzip=False, convert_original_dicom=False,
                    mask_background_value=background, mask_foreground_value=foreground)  # fmt: skip
    mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(f"{out}/mask_organ.nii"))
    organ = mask == foreground
    dice = 2 * (organ & true).sum() / (organ.sum() + true.sum())
    seen[background, foreground] = organ.sum((1, 2)).tolist()[2:7], round(float(dice), 3), np.unique(mask).tolist()
    print(f"background {background:3}, foreground {foreground:3}: organ voxels on slices 2-6 {seen[background, foreground][0]},",
          f"Dice {dice:.3f}, values {seen[background, foreground][2]}")  # fmt: skip
right = [0, 100, 100, 84, 0]
if any(seen[0, value][:2] != (right, 1.0) for value in (255, 1)):
    raise SystemExit(f"CHANGED: {seen}")
if seen[1, 2][:2] != ([0, 924, 924, 1008, 0], 0.054) or seen[255, 0][:2] != ([0, 924, 924, 84, 0], 0.076):
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: with a background other than 0, what is outside of the first contour is the organ")
PYTHON
