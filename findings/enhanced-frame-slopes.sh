#!/usr/bin/env bash
# Enhanced DICOM: SimpleITK applies the slope of the first frame to all frames, and pydicom's apply_modality_lut applies none.
#
# Expected: in a multi-frame file, each frame's group (or the shared one) holds slope and intercept; each frame gets its own.
# Happens:  of five frames whose right values are 100, 400, 900, 1600 and 2500 (stored 100 to 500, slopes 1 to 5), SimpleITK gives
#           100, 200, 300, 400 and 500, and so does pydicom, which looks at the top level of the file only: it returns stored
#           values even where one slope of 2 is shared by all frames, which SimpleITK applies. Neither warns. dcm2niix
#           1.0.20260724 is right; Debian 12's 1.0.20220720 gave 500 to 2500, the last frame's slope for all (not run here).
# Versions: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, numpy 2.4.6; right: dcm2niix 1.0.20260724.
# Matters:  a slope for each slice is usual in PET. Uptake is off by another factor in each slice, so a threshold cuts the lesion
#           differently from slice to slice; Enhanced CT read by pydicom so has no Hounsfield values.
# Instead:  a recent dcm2niix, or the few lines of `right` below: PixelValueTransformationSequence of each frame, else the shared one.
# Source:   https://github.com/pydicom/pydicom/issues/2353 (open); in https://github.com/InsightSoftwareConsortium/ITK/pull/2010 a
#           comment tells that GDCM reads the first frame's group only. DICOM PS3.3, C.7.6.16.2.9 (Pixel Value Transformation).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pydicom==3.0.2 SimpleITK==2.5.7 nibabel==5.4.2 \
    dcm2niix==1.0.20260724
export PATH="$folder/venv/bin:$PATH"

venv/bin/python - <<'PYTHON'
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import EnhancedPETImageStorage, ExplicitVRLittleEndian, generate_uid


def item(**values) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def write(path: str, slopes: list[int], shared: bool = False) -> None:
    """Five frames that hold 100 to 500; each has a slope in its own group, or all have the first in the shared one."""
    frames = np.stack([np.full((6, 4), 100 * (number + 1), np.uint16) for number in range(5)])
    kind, dimensions = EnhancedPETImageStorage, generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("file", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = kind, meta.MediaStorageSOPInstanceUID, "PT"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    made.PatientID, made.PatientName, made.InstanceNumber, made.SeriesNumber = "phantom", "Phantom^", 1, 1
    made.StudyDate = made.ContentDate = "20200101"
    made.StudyTime = made.ContentTime = "120000"
    made.ImageType, made.Manufacturer = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "Phantom"
    made.NumberOfFrames, made.Rows, made.Columns = frames.shape
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.DimensionOrganizationSequence = [item(DimensionOrganizationUID=dimensions)]
    made.DimensionIndexSequence = [
        item(DimensionOrganizationUID=dimensions, DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111)
        for pointer in (0x00209056, 0x00209057)
    ]
    measures = item(PixelSpacing=[1, 1], SliceThickness=3, SpacingBetweenSlices=3)
    orientation = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    common = item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[measures])
    values = [item(RescaleIntercept=0, RescaleSlope=slope, RescaleType="US") for slope in slopes]
    if shared:
        common.PixelValueTransformationSequence = [values[0]]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [common], []
    for number in range(5):
        place = item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[1, number + 1])
        frame = item(FrameContentSequence=[place], PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 3 * number])])
        if not shared:
            frame.PixelValueTransformationSequence = [values[number]]
        made.PerFrameFunctionalGroupsSequence.append(frame)
    made.PixelData = frames.tobytes()
    Path(path).parent.mkdir(parents=True)
    made.save_as(path, enforce_file_format=True)


def read(path: str) -> dict[str, list[int]]:
    """The value of each frame, from the lowest to the highest, by reader."""
    file = dcmread(path)
    common = file.SharedFunctionalGroupsSequence[0]
    slopes = [
        float(frame.get("PixelValueTransformationSequence", common.get("PixelValueTransformationSequence"))[0].RescaleSlope)
        for frame in file.PerFrameFunctionalGroupsSequence
    ]
    where = str(Path(path).parent)
    subprocess.run(["dcm2niix", "-f", "out", "-o", where, where], capture_output=True, check=True)
    nifti = nib.load(next(Path(path).parent.glob("*.nii")))
    assert nifti.affine[2, 2] > 0
    return {
        "right": [round(float(frame[0, 0] * slope)) for frame, slope in zip(file.pixel_array, slopes)],
        "SimpleITK": [round(float(frame[0, 0])) for frame in sitk.GetArrayFromImage(sitk.ReadImage(path))],
        "dcm2niix": [round(float(value)) for value in nifti.get_fdata()[0, 0]],
        "pydicom": [round(float(frame[0, 0])) for frame in apply_modality_lut(file.pixel_array, file)],
    }


write("own/file.dcm", [1, 2, 3, 4, 5])
write("shared/file.dcm", [2] * 5, shared=True)
seen = {}
for name in ("own", "shared"):
    seen[name] = read(f"{name}/file.dcm")
    for reader, values in seen[name].items():
        print(f"{name:6} slope, {reader:9}: {values}")
stored = [100, 200, 300, 400, 500]
own, doubled = [100, 400, 900, 1600, 2500], [200, 400, 600, 800, 1000]
if seen["own"] != {"right": own, "SimpleITK": stored, "dcm2niix": own, "pydicom": stored}:
    raise SystemExit(f"CHANGED: {seen['own']}")
if seen["shared"] != {"right": doubled, "SimpleITK": doubled, "dcm2niix": doubled, "pydicom": stored}:
    raise SystemExit(f"CHANGED: {seen['shared']}")
print("HOLDS: frames do not get their own slopes")
PYTHON
