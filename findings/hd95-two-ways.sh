#!/usr/bin/env bash
# The 95th percentile of the Hausdorff distance ("HD95") is two different things, and MedPy's can be 0 where MONAI's is 3.
#
# Expected: two libraries that compute HD95 of the same masks at the same spacing agree to a fraction of a voxel.
# Happens:  MONAI takes the percentile of the distances from each surface to the other, and the larger of the two. MedPy takes the
#           percentile of both surfaces' distances thrown together, where those of the true surface, mostly 0, thin the others
#           out. A cube of 16 voxels a side with a thorn, 8 voxels long and 4, 6 or 8 wide: MONAI 3, 6, 7; MedPy 0, 2, 5.
#           DeepMind's surface-distance, the third in use, gives what MONAI gives here.
# Versions: monai 1.6.1, MedPy 0.5.2, Surface-Distance-Based-Measures 0.1, torch 2.13.0, numpy 2.4.6, scipy 1.17.1.
# Matters:  most tables of semi-supervised segmentation print MedPy's "95HD"; a method that is measured with MONAI looks worse
#           beside them by some voxels, with the same masks.
# Instead:  say which one it is; for a comparison measure all masks by one program.
# Source:   hd95 in medpy/metric/binary.py (https://github.com/loli/medpy): numpy.percentile of numpy.hstack of both;
#           compute_hausdorff_distance in monai/metrics/hausdorff_distance.py (https://github.com/Project-MONAI/MONAI).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 torch==2.13.0 monai==1.6.1 MedPy==0.5.2 \
    Surface-Distance-Based-Measures==0.1 absl-py==2.5.0

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import surface_distance
import torch
from medpy.metric.binary import hd95
from monai.metrics import compute_hausdorff_distance

reference = np.zeros((48, 48, 48), bool)
reference[16:32, 16:32, 16:32] = True
found = {}
for width in (4, 6, 8):
    mask = reference.copy()
    thorn = slice(24 - width // 2, 24 + width // 2)
    mask[thorn, thorn, 32:40] = True
    one, other = (torch.from_numpy(a)[None, None].float() for a in (mask, reference))
    monai = float(compute_hausdorff_distance(one, other, percentile=95))
    distances = surface_distance.compute_surface_distances(reference, mask, (1, 1, 1))
    deepmind = float(surface_distance.compute_robust_hausdorff(distances, 95))
    found[width] = monai, float(hd95(mask, reference)), deepmind
    print(f"thorn {width} wide: MONAI {found[width][0]:g}, MedPy {found[width][1]:g}, surface-distance {found[width][2]:g}")

if found != {4: (3.0, 0.0, 3.0), 6: (6.0, 2.0, 6.0), 8: (7.0, 5.0, 7.0)}:
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: MedPy's HD95 is smaller, and 0 for the slimmest thorn")
PYTHON
