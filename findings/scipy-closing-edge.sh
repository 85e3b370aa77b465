#!/usr/bin/env bash
# SciPy's closing takes slices away from a mask that reaches the end of the scan.
#
# Expected: a closing only adds: it fills gaps and leaves every voxel of the mask.
# Happens:  binary_closing dilates and erodes, and takes what lies outside of the array for background in both steps. The erosion
#           then eats from the edge of the array as many voxels as there are iterations: a rod through all 40 slices is gone from
#           2, 4 and 10 of them after 1, 2 and 5 iterations. border_value=1 is no way out, for the dilation then grows inwards
#           from all edges: nothing is lost, and 464, 1368 and 13600 voxels are added along them to the rod's 4000. SimpleITK's
#           closing keeps every voxel and adds none.
# Versions: scipy 1.17.1, SimpleITK 2.5.7, numpy 2.4.6.
# Matters:  organs that the field of view cuts (spine, aorta, lung, and every mask of the body) reach the end of most scans, and
#           closing is the usual last step of a segmentation. The end slices vanish without a word, and volumes with them.
# Instead:  SimpleITK's BinaryMorphologicalClosing, or SciPy's closing of numpy.pad(mask, n, mode="edge"), cut back afterwards.
# Source:   the manual says of border_value only "Value at the border in the output array", and of closing that it fills holes:
#           https://docs.scipy.org/doc/scipy/reference/generated/scipy.ndimage.binary_closing.html. scikit-image's maintainers tell
#           why erosion must not count what is outside: https://github.com/scikit-image/scikit-image/issues/1462
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_closing

rod = np.zeros((40, 30, 30), bool)
rod[:, 10:20, 10:20] = True


def lost_and_added(closed: np.ndarray) -> tuple[int, int, int]:
    """Slices without the rod, voxels of the rod that are gone and voxels that are new."""
    return int((~closed.any(axis=(1, 2))).sum()), int((rod & ~closed).sum()), int((closed & ~rod).sum())


seen = {}
for count in (1, 2, 5):
    padded = binary_closing(np.pad(rod, count, mode="edge"), iterations=count)
    simpleitk = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(rod.astype(np.uint8)), (count,) * 3, sitk.sitkCross)
    seen[count] = {
        "SciPy": lost_and_added(binary_closing(rod, iterations=count)),
        "SciPy, border_value=1": lost_and_added(binary_closing(rod, iterations=count, border_value=1)),
        "SciPy, padded with its edge": lost_and_added(padded[count:-count, count:-count, count:-count]),
        "SimpleITK": lost_and_added(sitk.GetArrayFromImage(simpleitk).astype(bool)),
    }
    for name, (slices, gone, new) in seen[count].items():
        print(f"{count} voxels wide, {name:28}: {slices:2} slices empty, {gone:4} of {rod.sum()} voxels gone, {new:5} new")

nothing = (0, 0, 0)
right = {"SciPy, padded with its edge": nothing, "SimpleITK": nothing}
expected = {
    count: {"SciPy": (2 * count, 200 * count, 0), "SciPy, border_value=1": (0, 0, new)} | right
    for count, new in {1: 464, 2: 1368, 5: 13600}.items()
}
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: SciPy's closing loses the end slices, SimpleITK's does not")
PYTHON
