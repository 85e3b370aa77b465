#!/usr/bin/env bash
# Connected components of a boolean image have voxels outside of the image's region.
#
# Expected: cc3d numbers the pieces of a mask, and what is False stays 0, whatever the array's type.
# Happens:  a two-dimensional boolean image with connectivity 8 and an odd number of rows or columns can get numbers where it is
#           False, next to its last row or column. The count that is returned is right, so the numbers are more than it says.
#           Thin boolean volumes with connectivity 26 can end in RuntimeError "maximum length exception" instead. The same arrays
#           as uint8 are right, and equal SciPy's.
# Versions: connected-components-3d 4.1.1, numpy 2.4.6, scipy 1.17.1. Of 1500 random images of 1 to 39 pixels a side, seed 0, 105
#           have such voxels, none as uint8.
# Matters:  masks are mostly boolean where pieces are counted: `labels == labels_of_the_largest` then holds pixels of the
#           background, and a table made with the count is too short for the numbers.
# Instead:  give the mask as uint8 (`mask.view("uint8")` copies nothing).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 connected-components-3d==4.1.1

venv/bin/python - <<'PYTHON'
import cc3d
import numpy as np
from scipy import ndimage

rng = np.random.default_rng(0)
outside = {"bool": 0, "uint8": 0}
wrong = 0
for _ in range(1500):
    mask = rng.random(rng.integers(1, 40, 2)) < 0.3
    _, expected = ndimage.label(mask, np.ones((3, 3)))
    for kind in outside:
        pieces, count = cc3d.connected_components(mask.astype(kind), connectivity=8, return_N=True)
        outside[kind] += bool(pieces[~mask].any())
        wrong += count != expected
print(f"images of 1500 with numbers outside of the mask: {outside}; counts unlike SciPy's: {wrong}")

small = np.array([[False], [False], [True]])
print("3 x 1, only the last is True:", cc3d.connected_components(small, connectivity=8).ravel().tolist())

if not (outside["bool"] > 0 == outside["uint8"] and wrong == 0):
    raise SystemExit(f"CHANGED: {outside}, {wrong}")
print("HOLDS: booleans are numbered outside of the region, bytes are not")
PYTHON
