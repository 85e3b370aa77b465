#!/usr/bin/env bash
# scikit-image's regionprops adds the offset of a crop, in voxels, to centroids in millimetres, and to weighted ones not at all.
#
# Expected: with offset, the integer place of a crop in its volume, a crop gives the centroids that the whole volume gives.
# Happens:  with spacing as well, the offset is added after the scaling, as if it were in millimetres: at 3 x 0.5 x 0.5 mm a
#           lesion at (201, 23.5, 13.5) mm is put at (81, 43.5, 23.5). centroid_weighted and bbox leave the offset out, with or
#           without spacing, so that the two centroids of an evenly bright lesion, which are one point, lie 60 voxels apart. Only
#           the plain centroid without spacing is right.
# Versions: scikit-image 0.26.0, scipy 1.17.1, numpy 2.4.6.
# Matters:  offset is there for volumes that are measured crop by crop or block by block. Tables of where lesions are mix places
#           in the volume with places in the crop, side by side and in the same row; sizes and brightness are right.
# Instead:  measure without offset, and add offset * spacing to every place.
# Source:   coords_scaled, centroid_weighted and bbox in skimage/measure/_regionprops.py
#           (https://github.com/scikit-image/scikit-image): the first adds the offset unscaled, the others never use it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from skimage.measure import regionprops

volume = np.zeros((100, 100, 100), np.uint8)
volume[65:70, 45:50, 25:30] = 1
corner = (60, 40, 20)
crop = volume[60:80, 40:60, 20:40]

seen = {}
for spacing in ((1.0, 1.0, 1.0), (3.0, 0.5, 0.5)):
    for name, mask, offset in (("volume", volume, (0, 0, 0)), ("crop", crop, corner)):
        region = regionprops(mask, mask * 100.0, spacing=spacing, offset=offset)[0]
        places = (region.centroid, region.centroid_weighted, region.bbox[:3])
        seen[spacing, name] = [[float(value) for value in place] for place in places]
        print("spacing {}, {:6}: centroid {}, weighted {}, bounding box from {}".format(spacing, name, *seen[spacing, name]))
    region = regionprops(crop, crop * 100.0, spacing=spacing)[0]
    for place, answer in zip((region.centroid, region.centroid_weighted), seen[spacing, "volume"]):
        assert np.allclose(np.add(place, np.multiply(corner, spacing)), answer), (place, answer)

voxels, first = [67.0, 47.0, 27.0], [65.0, 45.0, 25.0]
expected = {((1.0, 1.0, 1.0), "volume"): [voxels, voxels, first]}
expected[(1.0, 1.0, 1.0), "crop"] = [voxels, [7.0, 7.0, 7.0], [5.0, 5.0, 5.0]]
expected[(3.0, 0.5, 0.5), "volume"] = [[201.0, 23.5, 13.5], [201.0, 23.5, 13.5], first]
expected[(3.0, 0.5, 0.5), "crop"] = [[81.0, 43.5, 23.5], [21.0, 3.5, 3.5], [5.0, 5.0, 5.0]]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the offset of the crop is added unscaled to one centroid and not to the other")
PYTHON
