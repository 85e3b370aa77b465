#!/usr/bin/env bash
# A distance map of a mask that is not there.
#
# Expected: where no voxel is background there is no distance to it: infinity, or an error.
# Happens:  SciPy's distance_transform_edt measures to a voxel that does not exist, at index -1 along the first axis and 0 along the
#           others, and gives smooth, plausible numbers. The edt package gives infinity, SimpleITK a huge number.
# Versions: SciPy 1.17.1, edt 3.1.2, SimpleITK 2.5.7.
# Matters:  signed distance maps for boundary losses, weight maps and surface distances are made with this call, of ~mask, in patches.
#           A patch without the structure, or filled by it, then gets a map that pulls towards one corner of the patch, and a missed
#           structure gets a finite surface distance that depends on the crop. No NaN, no warning.
# Instead:  ask mask.any() and mask.all() first and decide what an absent structure means.
# Source:   https://github.com/scipy/scipy/issues/15585 (closed as a repeat of issue 1616); a change to infinity is proposed in
#           https://github.com/scipy/scipy/pull/25528.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 edt==3.1.2 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
import edt
import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt

patch = np.zeros((8, 8, 8), bool)  # a patch without the structure
by_scipy = distance_transform_edt(~patch)
phantom = np.stack(np.indices(patch.shape)).astype(float) - np.array([-1, 0, 0]).reshape(3, 1, 1, 1)
to_phantom = np.sqrt((phantom**2).sum(axis=0))
by_edt = edt.edt(~patch)
by_sitk = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(sitk.GetImageFromArray(patch.astype(np.uint8)), squaredDistance=False))
print(f"SciPy: {by_scipy.min():.2f} to {by_scipy.max():.2f}; equal to the distance from (-1, 0, 0):", np.allclose(by_scipy, to_phantom))
print(f"edt: {by_edt.min()} to {by_edt.max()}; SimpleITK: {by_sitk.min():.3g} to {by_sitk.max():.3g}")

if not (np.allclose(by_scipy, to_phantom) and np.isinf(by_edt).all() and (np.abs(by_sitk) > 1e9).all()):
    raise SystemExit("CHANGED: one of the three now answers otherwise")
print("HOLDS: SciPy measures to a voxel outside of the array")
PYTHON
