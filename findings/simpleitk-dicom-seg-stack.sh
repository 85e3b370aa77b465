#!/usr/bin/env bash
# Two structures of a DICOM segmentation become one stack of slices.
#
# Expected: SimpleITK opens a DICOM SEG and gives a volume on the scan's grid, or refuses.
# Happens:  a SEG holds one frame for each segment and non-empty slice. SimpleITK lays all frames on top of each other in file
#           order, without a warning: a liver in three slices and a lesion in two become one volume of five slices, the labels
#           lost (0 and 255), the slices 1 mm apart instead of 2, and a slice that both structures share is there twice.
# Versions: SimpleITK 2.5.7; file by highdicom 0.28.2 (a BINARY segmentation) and pydicom 3.0.2.
# Matters:  the result looks like a plausible mask of one structure, and its volume in millilitres comes out too. It cannot be told
#           from a true volume by its header.
# Instead:  look at the SOP class (or Modality SEG) before reading, and use highdicom's Segmentation.get_volume or dcmqi.
# Source:   the frames' order and places are in the PerFrameFunctionalGroupsSequence, DICOM PS3.3 section A.51.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 SimpleITK==2.5.7 pydicom==3.0.2 highdicom==0.28.2

venv/bin/python - <<'PYTHON'
import warnings

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

warnings.simplefilter("ignore")
study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()


def ct_slice(number: int) -> pydicom.Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("slice", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.FrameOfReferenceUID, image.Modality, image.InstanceNumber, image.SeriesNumber = frame_of_reference, "CT", number, 1
    image.PatientID, image.PatientName = "phantom", "Phantom^"
    for empty in ("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "PatientBirthDate", "PatientSex",
                  "ReferringPhysicianName"):  # fmt: skip
        setattr(image, empty, "")
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 2
    image.Rows = image.Columns = 16
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.PixelData = np.zeros((16, 16), np.int16).tobytes()
    return image


def segment(number: int, name: str) -> hd.seg.SegmentDescription:
    manual = hd.seg.SegmentAlgorithmTypeValues.MANUAL
    return hd.seg.SegmentDescription(number, name, codes.SCT.Organ, codes.SCT.Liver, manual)


masks = np.zeros((6, 16, 16, 2), np.uint8)
masks[1:4, 4:9, 4:9, 0] = 1  # the first structure: slices 1 to 3
masks[3:5, 9:14, 9:14, 1] = 1  # the second: slices 3 and 4
hd.seg.Segmentation(
    [ct_slice(number) for number in range(6)], masks, hd.seg.SegmentationTypeValues.BINARY,
    [segment(1, "organ"), segment(2, "lesion")], generate_uid(), 1, generate_uid(), 1, "maker", "model", "1", "1",
).save_as("seg.dcm")  # fmt: skip

frames = pydicom.dcmread("seg.dcm").PerFrameFunctionalGroupsSequence
heights = [float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in frames]
volume = sitk.ReadImage("seg.dcm")
values = np.unique(sitk.GetArrayFromImage(volume)).tolist()
print("true grid 16 x 16 x 6, 2 mm apart, labels 0 1 2; heights of the file's frames:", heights)
print(f"SimpleITK: size {volume.GetSize()}, spacing {volume.GetSpacing()}, values {values}")

if (volume.GetSize(), volume.GetSpacing()[2], values) != ((16, 16, 5), 1.0, [0, 255]) or heights.count(6.0) != 2:
    raise SystemExit(f"CHANGED: {volume.GetSize()}, {volume.GetSpacing()}, {values}, {heights}")
print("HOLDS: the frames of both structures are read as neighbouring slices")
PYTHON
