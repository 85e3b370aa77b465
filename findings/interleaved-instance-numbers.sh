#!/usr/bin/env bash
# A series numbered in the order of acquisition: MONAI's PydicomReader shuffles its slices, dicom2nifti makes two scans of it.
#
# Expected: slices are put in the order of their ImagePositionPatient; an instance number is only a number.
# Happens:  of eight slices, 3 mm apart, every second one acquired first, MONAI stacks 1, 3, 5, 7, 2, 4, 6, 8 as neighbours 3 mm
#           apart, and a lesion on slices 3 to 5 becomes two pieces. dicom2nifti takes the step back for a new time point: four
#           slices 6 mm apart, twice, where the lesion is 12 mm high at the first time and 6 mm at the second, not 9 mm. Of nine
#           slices MONAI makes steps of 2.625 mm, and dicom2nifti raises MISSING_DICOM_FILES. Nothing else warns. SimpleITK is
#           right in both, and so is MONAI for a series numbered along the patient, up or down.
# Versions: monai 1.6.1, dicom2nifti 2.6.2, pydicom 3.0.2, nibabel 5.4.2, torch 2.13.0, numpy 2.4.6; right: SimpleITK 2.5.7.
# Matters:  2D MR acquires slices like this, and an instance number may follow it. LoadImage takes this reader where itk is not
#           installed; with itk 5.4.7 it is right. Shape and affine of the eight are right, so that nothing looks odd.
# Instead:  SimpleITK or ITK; or sort the slices by position, and check that the steps along the normal are equal.
# Source:   PydicomReader._combine_dicom_series in monai/data/image_reader.py; get_grouped_dicoms in
#           dicom2nifti/convert_generic.py. DICOM PS3.3, C.7.6.1: the number identifies the image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 pydicom==3.0.2 SimpleITK==2.5.7 \
    nibabel==5.4.2 dicom2nifti==2.6.2 torch==2.13.0 monai==1.6.1

venv/bin/python -W ignore - <<'PYTHON'
import logging
from pathlib import Path

import dicom2nifti
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from dicom2nifti.exceptions import ConversionError
from monai.transforms import LoadImage
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy import ndimage

logging.disable(logging.CRITICAL)


def write(folder: str, order: list[int]) -> None:
    """A series whose instance 1 is slice order[0], and so on; slice k is at 3k mm and holds k, and 1000 in a lesion."""
    Path(folder).mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number, k in enumerate(order, 1):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("file", {}, file_meta=meta, preamble=bytes(128))
        made.SOPClassUID, made.SOPInstanceUID, made.Modality = MRImageStorage, meta.MediaStorageSOPInstanceUID, "MR"
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = study, series, frame
        made.PatientID, made.PatientName, made.InstanceNumber = "phantom", "Phantom^", number
        made.RepetitionTime, made.EchoTime = 3000, 80
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 3 * (k - 1)], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SliceThickness, made.Rows, made.Columns = [1, 1], 3, 16, 16
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        plane = np.full((16, 16), k, np.uint16)
        if 3 <= k <= 5:
            plane[6:10, 6:10] = 1000
        made.PixelData = plane.tobytes()
        made.save_as(f"{folder}/{number:02}.dcm", enforce_file_format=True)


def summary(voxels: np.ndarray, step: float) -> tuple:
    """The slices in their order, the step between them in mm, and of the lesion its pieces and its height in mm."""
    lesion = voxels == 1000
    return [int(k) for k in voxels[0, 0]], step, ndimage.label(lesion)[1], float(lesion.any((0, 1)).sum()) * abs(step)


def readers(folder: str) -> dict:
    done = {}
    image = LoadImage()(folder)
    assert np.array_equal(image, LoadImage(reader="PydicomReader")(folder))
    done["MONAI"] = summary(image.numpy(), float(image.affine[2, 2]))
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder))
    done["SimpleITK"] = summary(sitk.GetArrayFromImage(image).T, image.GetSpacing()[2])
    try:
        dicom2nifti.dicom_series_to_nifti(folder, f"{folder}.nii", reorient_nifti=False)
        image = nib.load(f"{folder}.nii")
        times = [image.get_fdata()[..., time] for time in range(image.shape[3])] if image.ndim == 4 else [image.get_fdata()]
        for time, voxels in enumerate(times):
            done[f"dicom2nifti, time {time}"] = summary(voxels, float(abs(image.affine[2, 2])))
    except ConversionError as error:
        done["dicom2nifti"] = str(error)
    return done


write("eight", [1, 3, 5, 7, 2, 4, 6, 8])
write("nine", [1, 3, 5, 7, 9, 2, 4, 6, 8])
write("down", [8, 7, 6, 5, 4, 3, 2, 1])
seen = {name: readers(name) for name in ("eight", "nine", "down")}
for name, done in seen.items():
    for reader, values in done.items():
        if isinstance(values, tuple):
            values = f"slices {values[0]}, {values[1]:.3f} mm apart; lesion: {values[2]} piece(s), {values[3]:.3f} mm"
        print(f"{name:5} by {reader:19} {values}")

up = [1, 2, 3, 4, 5, 6, 7, 8]
expected = {
    "eight": {
        "MONAI": ([1, 3, 5, 7, 2, 4, 6, 8], 3.0, 2, 9.0),
        "SimpleITK": (up, 3.0, 1, 9.0),
        "dicom2nifti, time 0": ([1, 3, 5, 7], 6.0, 1, 12.0),
        "dicom2nifti, time 1": ([2, 4, 6, 8], 6.0, 1, 6.0),
    },
    "nine": {
        "MONAI": ([1, 3, 5, 7, 9, 2, 4, 6, 8], 2.625, 2, 7.875),
        "SimpleITK": ([*up, 9], 3.0, 1, 9.0),
        "dicom2nifti": "MISSING_DICOM_FILES",
    },
}
if {name: seen[name] for name in expected} != expected or seen["down"]["MONAI"] != (up[::-1], -3.0, 1, 9.0):
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: instance numbers put slices out of their places")
PYTHON
