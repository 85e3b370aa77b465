#!/usr/bin/env bash
# One NIfTI file, two places in the world.
#
# Expected: a NIfTI file says where its voxels lie, so every reader puts them at the same millimetres.
# Happens:  a file may carry two placements, the qform and the sform, each with a code that says what it refers to.
#           nibabel uses the sform whenever its code is not 0. SimpleITK uses it only where the code is 1 (scanner); with
#           codes 2, 3 and 4 (aligned to another scan, Talairach, MNI) beside a qform it uses the qform. No warning.
# Versions: nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4).
# Matters:  a scan registered with FSL or SPM has code 2 or 4. A mask drawn in 3D Slicer or ITK-SNAP (both built on ITK) and a
#           network's mask written through nibabel then lie on the same voxels and centimetres apart in millimetres; whoever
#           resamples one to the other's grid measures a Dice of nearly 0 for a good mask.
# Instead:  before mixing the two libraries compare the qform with the sform where both codes are set, and refuse the file
#           (or write one placement into both, with code 1) where they differ.
# Source:   https://nipy.org/nibabel/nifti_images.html (nibabel's order of preference);
#           https://github.com/InsightSoftwareConsortium/ITK/pull/1868 (ITK takes the sform for the scanner code).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 nibabel==5.4.2 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

sform, qform = np.eye(4), np.eye(4)
sform[:3, 3] = 10, 20, 30
qform[:3, 3] = -50, -60, -70

seen = {}
for code in (1, 2, 3, 4):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), None)
    image.set_sform(sform, code)
    image.set_qform(qform, 1)
    nib.save(image, "scan.nii")
    by_nibabel = nib.load("scan.nii").affine[:3, 3]
    x, y, z = sitk.ReadImage("scan.nii").GetOrigin()
    by_sitk = np.array([-x, -y, z])  # from SimpleITK's left-posterior-superior to nibabel's right-anterior-superior
    apart = float(np.linalg.norm(by_nibabel - by_sitk))
    seen[code] = round(apart, 1)
    print(f"sform code {code}: first voxel by nibabel {by_nibabel}, by SimpleITK {by_sitk}, {apart:.1f} mm apart")

if seen != {1: 0.0, 2: 141.4, 3: 141.4, 4: 141.4}:
    raise SystemExit(f"CHANGED: distances by sform code are now {seen}")
print("HOLDS: the readers agree for sform code 1 only")
PYTHON
