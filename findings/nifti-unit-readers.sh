#!/usr/bin/env bash
# A scan in micrometres has two sizes, a thousand times apart, by the reader that a pipeline happens to use.
#
# Expected: NIfTI and NRRD headers name the unit of their lengths (xyzt_units; "space units"). A reader converts to millimetres, or
#           says that it did not.
# Happens:  SimpleITK converts a NIfTI file in micrometres to millimetres. nibabel leaves the numbers as they are, in the zooms and
#           in the affine, and so MONAI's LoadImage reports a pixel of 5 mm with its nibabel reader and of 0.005 mm with its ITK
#           reader for one file. For NRRD SimpleITK does not convert either: the same pixel in "um" comes out as 5 mm. No reader
#           says a word.
# Versions: nibabel 5.4.2, SimpleITK 2.5.7, MONAI 1.6.1, itk 5.4.7, pynrrd 1.1.3, Linux x86-64.
# Matters:  microscopy, optical coherence tomography and small animals: spacing decides resampling, patch size and every volume in
#           ml; 1000 x in length is 10^9 in volume.
# Instead:  look at `header.get_xyzt_units()`, and at "space units" by pynrrd, before spacings are used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 nibabel==5.4.2 SimpleITK==2.5.7 pynrrd==1.1.3 \
    monai==1.6.1 itk==5.4.7

venv/bin/python - 2>errors <<'PYTHON' || { cat errors; exit 1; }
import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk
from monai.transforms import LoadImage

voxels = np.zeros((4, 5, 6), np.uint8)
image = nib.Nifti1Image(voxels, np.diag([5.0, 5.0, 5.0, 1.0]))
image.header.set_xyzt_units("micron")
nib.save(image, "scan.nii.gz")
header = {
    "space": "left-posterior-superior",
    "space directions": np.eye(3) * 5,
    "space units": ["um"] * 3,
    "space origin": [0, 0, 0],
}
nrrd.write("scan.nrrd", voxels, header)

read = nib.load("scan.nii.gz")
found = {
    "NIfTI, nibabel": float(read.header.get_zooms()[0]),
    "NIfTI, SimpleITK": sitk.ReadImage("scan.nii.gz").GetSpacing()[0],
    "NIfTI, MONAI by nibabel": float(LoadImage(reader="NibabelReader")("scan.nii.gz").pixdim[0]),
    "NIfTI, MONAI by ITK": float(LoadImage(reader="ITKReader")("scan.nii.gz").pixdim[0]),
    "NRRD, SimpleITK": sitk.ReadImage("scan.nrrd").GetSpacing()[0],
}
print("a pixel of 5 micrometres, unit in the header:", read.header.get_xyzt_units()[0])
for name, size in found.items():
    print(f"{name:24} {size:g}")
expected = dict(zip(found, (5, 0.005, 5, 0.005, 5), strict=True))
if any(abs(found[name] / size - 1) > 1e-4 for name, size in expected.items()):
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: SimpleITK converts NIfTI and not NRRD, nibabel converts neither, MONAI does what its reader does")
PYTHON
