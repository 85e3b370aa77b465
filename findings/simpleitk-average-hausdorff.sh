#!/usr/bin/env bash
# SimpleITK's average Hausdorff distance falls as the organ grows.
#
# Expected: GetAverageHausdorffDistance() is the average distance between two surfaces, like everyone's ASSD.
# Happens:  distances are averaged over all voxels of each mask, and those inside the other mask count as 0. A cube shifted by
#           two voxels scores 0.15 if it is 20 wide and 0.0375 if it is 80 wide; the symmetric average surface distance of both
#           is 0.67. The maximum, GetHausdorffDistance(), is 2 in both, as expected.
# Versions: SimpleITK 2.5.7, MedPy 0.5.2.
# Matters:  the value carries millimetres and an expected name, so it is set beside other papers' surface distances, where it looks
#           four to eighteen times better; and among the organs of one table the big ones win by their size.
# Instead:  measure between surfaces: average a distance map of one surface (SignedMaurerDistanceMap) over the voxels of the other.
# Source:   SimpleITK's text defines the distance between the sets of non-zero pixels, which says so for those who think of it:
#           https://simpleitk.org/doxygen/latest/html/classitk_1_1simple_1_1HausdorffDistanceImageFilter.html
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7 MedPy==0.5.2

venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK as sitk
from medpy.metric.binary import assd

seen = {}
for width in (20, 40, 80):
    truth = np.zeros((100, 100, 100), np.uint8)
    truth[5 : 5 + width, 5 : 5 + width, 5 : 5 + width] = 1
    shifted = np.roll(truth, 2, axis=2)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(sitk.GetImageFromArray(truth), sitk.GetImageFromArray(shifted))
    seen[width] = (measure.GetHausdorffDistance(), measure.GetAverageHausdorffDistance(), assd(shifted, truth))
    print(f"cube {width} wide, shifted by 2: maximum {seen[width][0]:.2f}, SimpleITK's average {seen[width][1]:.4f},"
          f" average surface distance {seen[width][2]:.3f}")

holds = all(
    abs(most - 2) < 1e-6 and abs(average - 3 / width) < 1e-6 and abs(surface - 0.67) < 0.01
    for width, (most, average, surface) in seen.items()
)
if not holds:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: one shift, and an average that shrinks with the width")
PYTHON
