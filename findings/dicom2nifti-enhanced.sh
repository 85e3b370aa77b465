#!/usr/bin/env bash
# dicom2nifti turns an enhanced (multi-frame) scan over whose frames are stored from the top down, and leaves CT without HU.
#
# Expected: each frame comes to lie at its own ImagePositionPatient, and slope and intercept that all frames share are applied.
# Happens:  frames are put in the order of their in-stack position number, but the affine is that of the first and the last frame
#           of the file. Five slices of 76 to 476 HU, the highest number at the top and stored from the top down, come out with
#           the bottom slice at the top; stored from the bottom up they are in place. A slope in the shared group is not looked
#           at: the slices are 1100 to 1500, 1024 too high. Nothing warns. SimpleITK and dcm2niix are right in all of it.
# Versions: dicom2nifti 2.6.2, pydicom 3.0.2, nibabel 5.4.2, numpy 2.4.6; right: SimpleITK 2.5.7, dcm2niix 1.0.20260724.
# Matters:  a scan that is upside down looks like one, so that masks drawn or predicted on it go back to the wrong slices, and
#           windows and thresholds in HU miss. It depends on the order of the frames in the file. Enhanced MR with Philips as its
#           maker fares the same. A file with its frames in a mixed order is refused (SLICE_INCREMENT_INCONSISTENT).
# Instead:  dcm2niix or SimpleITK for enhanced files; dicom2nifti for one file a slice.
# Source:   multiframe_to_block and multiframe_create_affine in dicom2nifti/common.py (https://github.com/icometrix/dicom2nifti).
#           DICOM PS3.3, C.7.6.16 (Multi-frame Functional Groups).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 pydicom==3.0.2 SimpleITK==2.5.7 \
    nibabel==5.4.2 dicom2nifti==2.6.2 dcm2niix==1.0.20260724
export PATH="$folder/venv/bin:$PATH"

venv/bin/python -W ignore - <<'PYTHON'
import subprocess
from pathlib import Path

import dicom2nifti
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from dicom2nifti.exceptions import ConversionValidationError
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid


def item(**values) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def write(folder: str, heights: list[int], kind: str, maker: str) -> None:
    """One frame at each height, in this order; the one at 3k mm is number k + 1 in the stack and holds 76 + 100k HU."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("file", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    made.Modality = "CT" if kind == EnhancedCTImageStorage else "MR"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    made.PatientID, made.PatientName, made.InstanceNumber, made.SeriesNumber = "phantom", "Phantom^", 1, 1
    made.StudyDate = made.ContentDate = "20200101"
    made.StudyTime = made.ContentTime = "120000"
    made.ImageType, made.Manufacturer = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], maker
    made.NumberOfFrames, made.Rows, made.Columns = len(heights), 6, 4
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    dimensions = generate_uid()
    made.DimensionOrganizationSequence = [item(DimensionOrganizationUID=dimensions)]
    made.DimensionIndexSequence = [
        item(DimensionOrganizationUID=dimensions, DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111)
        for pointer in (0x00209056, 0x00209057)
    ]
    common = item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    common.PixelMeasuresSequence = [item(PixelSpacing=[1, 1], SliceThickness=3, SpacingBetweenSlices=3)]
    common.PixelValueTransformationSequence = [item(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU")]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [common], []
    for height in heights:
        number = height // 3 + 1
        content = item(StackID="1", InStackPositionNumber=number, DimensionIndexValues=[1, number])
        position = item(ImagePositionPatient=[0, 0, height])
        frame = item(FrameContentSequence=[content], PlanePositionSequence=[position])
        made.PerFrameFunctionalGroupsSequence.append(frame)
    made.PixelData = np.stack([np.full((6, 4), 1100 + height // 3 * 100, np.uint16) for height in heights]).tobytes()
    Path(folder).mkdir()
    made.save_as(f"{folder}/file.dcm", enforce_file_format=True)


def values(name: str) -> list[int]:
    """The value of each slice of a NIfTI file, from the lowest place to the highest."""
    image = nib.load(name)
    places = [(image.affine @ [0, 0, number, 1])[2] for number in range(image.shape[2])]
    assert np.allclose(sorted(places), [0, 3, 6, 9, 12])
    return [round(float(image.get_fdata()[0, 0, number])) for number in np.argsort(places)]


stored, right = [1100, 1200, 1300, 1400, 1500], [76, 176, 276, 376, 476]
seen, up = {}, [0, 3, 6, 9, 12]
cases = [("CT", EnhancedCTImageStorage, "Phantom"), ("MR", EnhancedMRImageStorage, "Philips Medical Systems")]
for modality, kind, maker in cases:
    for order, heights in (("up", up), ("down", up[::-1])):
        folder = f"{modality}-{order}"
        write(folder, heights, kind, maker)
        dicom2nifti.dicom_series_to_nifti(folder, f"{folder}.nii")
        sitk.WriteImage(sitk.ReadImage(f"{folder}/file.dcm"), f"{folder}-sitk.nii")
        subprocess.run(["dcm2niix", "-f", f"{folder}-dcm2niix", "-o", ".", folder], capture_output=True, check=True)
        seen[folder] = values(f"{folder}.nii")
        others = [values(f"{folder}-sitk.nii"), values(f"{folder}-dcm2niix.nii")]
        print(f"{modality}, stored {order:4}: from the bottom to the top, dicom2nifti {seen[folder]}, "
              f"SimpleITK {others[0]}, dcm2niix {others[1]}")  # fmt: skip
        assert others == [right, right]

write("mixed", [0, 6, 12, 3, 9], EnhancedCTImageStorage, "Phantom")
try:
    dicom2nifti.dicom_series_to_nifti("mixed", "mixed.nii")
    seen["mixed"] = values("mixed.nii")
except ConversionValidationError as error:
    print(f"CT, stored in another order: {error}")

if seen != {"CT-up": stored, "CT-down": stored[::-1], "MR-up": stored, "MR-down": stored[::-1]}:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: frames stored from the top down come out upside down, and no slope is applied")
PYTHON
