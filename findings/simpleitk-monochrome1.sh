#!/usr/bin/env bash
# A DICOM scan that is to be shown white on black or black on white is read with other numbers, not only shown otherwise.
#
# Expected: Photometric Interpretation says how a viewer shows an image. MONOCHROME1 (small values are bright; usual for PET and
#           radiographs) leaves the stored values what they are: value x slope + intercept is Hounsfield or Bq/ml either way
#           (DICOM PS3.3 C.7.6.3.1.2 and C.11.1).
# Happens:  SimpleITK turns the stored values of MONOCHROME1 round within their bits (4095 - value for 12 bits) and applies slope
#           and intercept to what comes out: air is read as 3071 HU and dense bone as -1024. It says nothing, and the image keeps
#           the tag MONOCHROME1. pydicom and dcm2niix give the stored values.
# Versions: SimpleITK 2.5.7, pydicom 3.0.2, dcm2niix 1.0.20260724, numpy 2.4.6, Linux x86-64.
# Matters:  a study converted by dcm2niix for training and read by SimpleITK (or by MONAI's and nnU-Net's readers on top of it) for
#           prediction is two different images; uptake in PET becomes its opposite.
# Instead:  for "MONOCHROME1" in GetMetaData("0028|0004") take the values from pydicom, or turn them round again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pydicom==3.0.2 SimpleITK==2.5.7 dcm2niix==1.0.20260724 \
    nibabel==5.4.2

venv/bin/python - <<'PYTHON'
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STORED = np.array([[0, 24, 1024], [1064, 2024, 4095]], np.uint16)
found = {}
for shown in ("MONOCHROME2", "MONOCHROME1"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan = Dataset()
    scan.file_meta = meta
    scan.SOPClassUID, scan.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    scan.Modality, scan.PatientName, scan.PatientID, scan.SeriesNumber, scan.InstanceNumber = "CT", "A^B", "1", 1, 1
    scan.Rows, scan.Columns, scan.SamplesPerPixel, scan.PhotometricInterpretation = 2, 3, 1, shown
    scan.BitsAllocated, scan.BitsStored, scan.HighBit, scan.PixelRepresentation = 16, 12, 11, 0
    scan.RescaleSlope, scan.RescaleIntercept, scan.RescaleType = 1, -1024, "HU"
    scan.PixelSpacing, scan.SliceThickness = [1, 1], 1
    scan.ImagePositionPatient, scan.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    scan.PixelData = STORED.tobytes()
    folder = Path(shown)
    folder.mkdir()
    scan.save_as(folder / "scan.dcm", enforce_file_format=True)

    read = dcmread(folder / "scan.dcm")
    by_pydicom = apply_modality_lut(read.pixel_array, read)
    by_sitk = sitk.GetArrayFromImage(sitk.ReadImage(folder / "scan.dcm"))[0]
    subprocess.run(["venv/bin/dcm2niix", "-b", "n", "-f", "scan", folder], check=True, capture_output=True)
    by_dcm2niix = np.asarray(nib.load(folder / "scan.nii").dataobj).reshape(3, 2).T[::-1]
    for name, values in (("pydicom", by_pydicom), ("dcm2niix", by_dcm2niix), ("SimpleITK", by_sitk)):
        found[shown, name] = [int(v) for v in np.ravel(values)]
        print(f"{shown} {name:10}", found[shown, name])

right = [int(v) - 1024 for v in STORED.ravel()]
turned = [4095 - int(v) - 1024 for v in STORED.ravel()]
expected = {(shown, name): right for shown, name in found} | {("MONOCHROME1", "SimpleITK"): turned}
if found != expected:
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: SimpleITK reads other numbers for MONOCHROME1 than pydicom and dcm2niix")
PYTHON
