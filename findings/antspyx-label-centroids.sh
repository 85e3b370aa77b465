#!/usr/bin/env bash
# ANTsPy's label_image_centroids gives points that lie far outside of the labels.
#
# Expected: the docstring promises the coordinates of the labels' centroids, in voxels or, if asked for, in physical space.
# Happens:  the labels are read with the last axis fastest, while the coordinates that go with them are laid out with the first
#           axis fastest, and those along z are made with the length of y. In a cube x and z change places. In any other shape
#           the three are mixed: of a box whose centre is voxel (7, 24.5, 22.5) it is (37.5, 27, 5.8). physical=True changes
#           nothing: the numbers stay those of voxels.
# Versions: antspyx 0.6.3, numpy 2.3.5, scipy 1.15.3, pandas 3.1.1.
# Matters:  the points lie within the scan and look right; they become seeds, crops, landmarks and tables of where lesions are. A
#           label in the middle of a cube is placed right, and so a test on one passes.
# Instead:  ants.label_geometry_measures or ants.get_center_of_mass: both are right, in physical space.
# Source:   ants/label/label_image_centroids.py (https://github.com/ANTsX/ANTsPy): NumPy's flatten is in C order, the coordinates
#           are not, and the line for physical space is commented out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.3.5 scipy==1.15.3 pandas==3.1.1 scikit-learn==1.9.1 \
    statsmodels==0.15.0 matplotlib==3.11.2 antspyx==0.6.3

venv/bin/python -W ignore - <<'PYTHON'
import ants
import numpy as np

shapes = {"cube": (40, 40, 40), "scan": (60, 50, 30), "cube, middle": (40, 40, 40)}
seen = {}
for name, shape in shapes.items():
    mask = np.zeros(shape, np.float32)
    if name == "cube, middle":
        mask[15:25, 15:25, 15:25] = 1
    else:
        mask[5:10, 20:30, 20:26] = 1
    image = ants.from_numpy(mask, spacing=(1.0, 1.0, 2.0), origin=(-10.0, 0.0, 30.0))
    centre = np.argwhere(mask).mean(0)
    place = centre * image.spacing + image.origin
    measures = ants.label_geometry_measures(image)[["Centroid_x", "Centroid_y", "Centroid_z"]].to_numpy()[0]
    assert np.allclose(measures, place) and np.allclose(ants.get_center_of_mass(image), place), (measures, place)
    answers = [ants.label_image_centroids(image, physical=physical)["vertices"][0] for physical in (False, True)]
    seen[name] = [[round(float(value), 1) for value in point] for point in (centre, place, *answers)]
    print(f"{name:12}: centre in voxels {seen[name][0]}, in physical space {seen[name][1]}; "
          f"label_image_centroids {seen[name][2]}, physical {seen[name][3]}")  # fmt: skip

centre, place = [7.0, 24.5, 22.5], [-3.0, 24.5, 75.0]
expected = {"cube": [centre, place, [22.5, 24.5, 7.0], [22.5, 24.5, 7.0]]}
expected["scan"] = [centre, place, [37.5, 27.0, 5.8], [37.5, 27.0, 5.8]]
expected["cube, middle"] = [[19.5, 19.5, 19.5], [9.5, 19.5, 69.0], [19.5, 19.5, 19.5], [19.5, 19.5, 19.5]]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the centroids lie outside of the label unless it is in the middle of a cube")
PYTHON
