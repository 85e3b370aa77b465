#!/usr/bin/env bash
# SimpleITK's interpolator for labels erases what is one voxel thin, even where nothing is resampled.
#
# Expected: Resample with sitkLabelGaussian gives labels back unchanged on their own grid, as each other interpolator for labels
#           does, and on a finer grid smooths the steps of their surfaces.
# Happens:  each label is blurred by a Gaussian nearly as wide as a voxel, on every axis, and the strongest wins, so that thin
#           labels lose everywhere. On the grid they are on already, a vessel (16 voxels), a wall (384) and a lesion drawn on one
#           slice of 5 mm (96) have 0 voxels left; of an oblique vessel two voxels thick 26 of 86 stay. A block of 1000 voxels
#           keeps 992. On a grid twice as fine the three are gone, too. sitkNearestNeighbor and sitkLabelLinear keep all voxels
#           on the same grid.
# Versions: SimpleITK 2.5.7, numpy 2.4.6.
# Matters:  it is the interpolator with "label" in its name, taken in place of nearest to bring masks to another spacing. Vessels,
#           ducts, membranes and lesions of one slice are gone from the training set or the reference, often whole labels of it.
# Instead:  sitkLabelLinear (SimpleITK 2.3 and later), or sitkNearestNeighbor; compare the sets of labels before and after.
# Source:   ITK's text tells of the Gaussian "at the non-voxel position", and that it returns the label with the largest weight:
#           https://itk.org/Doxygen/html/classitk_1_1LabelImageGaussianInterpolateImageFunction.html
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK as sitk

names = ("vessel", "wall", "lesion on one slice", "oblique vessel", "block")
array = np.zeros((40, 40, 40), np.uint8)
array[8:24, 2, 2] = 1
array[8:24, 16, 4:28] = 2
array[4, 26:30, 4:28] = 3
for step in range(14):
    array[8 + step : 10 + step, 30:32, 4 + step : 6 + step] = 4
array[26:36, 4:14, 28:38] = 5
mask = sitk.GetImageFromArray(array)
mask.SetSpacing((0.7, 0.7, 5.0))
before = [int((array == label).sum()) for label in range(1, 6)]


def sizes(finer: int, interpolator: int) -> list[float]:
    """The labels' sizes, in voxels of the first grid, on one that is so many times finer over the same space."""
    spacing = [length / finer for length in mask.GetSpacing()]
    origin = [(new - old) / 2 for new, old in zip(spacing, mask.GetSpacing(), strict=True)]
    size = [count * finer for count in mask.GetSize()]
    moved = sitk.Resample(mask, size, sitk.Transform(), interpolator, origin, spacing, mask.GetDirection(), 0)
    return [float((sitk.GetArrayViewFromImage(moved) == label).sum()) / finer**3 for label in range(1, 6)]


seen = {}
for how in ("sitkNearestNeighbor", "sitkLabelLinear", "sitkLabelGaussian"):
    for finer in (1, 2):
        seen[how, finer] = sizes(finer, getattr(sitk, how))
        left = ", ".join(f"{name} {n:g} of {all_}" for name, n, all_ in zip(names, seen[how, finer], before, strict=True))
        print(f"{how:19} {'same grid' if finer == 1 else 'twice as fine'}: {left}")

same = {how: seen[how, 1] for how in ("sitkNearestNeighbor", "sitkLabelLinear")}
if any(sizes_ != before for sizes_ in same.values()):
    raise SystemExit(f"CHANGED: {same}")
if seen["sitkLabelGaussian", 1] != [0, 0, 0, 26, 992] or seen["sitkLabelGaussian", 2][:3] != [0, 0, 0]:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: thin labels vanish, on their own grid, too")
PYTHON
