#!/usr/bin/env bash
# volumentations' Flip draws its axes anew for the mask: six times in seven the mask is another way round than its image.
#
# Expected: Flip is one of the transforms that change image and mask alike; both are turned round along the same axes.
# Happens:  without axis, one of the seven combinations of axes is drawn for the image and another time for the mask. Of 700 pairs
#           of an image and a mask that is its copy, some 100 are still equal. With axis given, all are. RandomRotate90 without
#           axes draws once for both, and all are equal.
# Versions: volumentations-3D 1.0.4, opencv-python-headless 4.13.0.92, scipy 1.17.1, scikit-image 0.26.0, numpy 2.4.6.
# Matters:  no message is given and shapes stay the same: the network is trained with masks that lie elsewhere, and only learns
#           worse. Organs near the middle and nearly symmetric ones hide it from the eye.
# Instead:  one Flip for each axis, Flip(axis=0), Flip(axis=1), Flip(axis=2), each with its own p.
# Source:   volumentations/augmentations/transforms.py (https://github.com/ZFTurbo/volumentations): Flip draws in apply, which
#           runs for every array, and not in get_params, which runs once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 \
    opencv-python-headless==4.13.0.92
venv/bin/pip install --quiet --disable-pip-version-check --no-deps volumentations-3D==1.0.4

venv/bin/python -W ignore - <<'PYTHON'
import random

import numpy as np
from volumentations import Compose, Flip, RandomRotate90

image = np.arange(8**3, dtype=np.float32).reshape(8, 8, 8)
transforms = {"Flip": Flip(p=1)}
transforms |= {f"Flip, axis {axis}": Flip(axis=axis, p=1) for axis in range(3)}
transforms["RandomRotate90"] = RandomRotate90(p=1)

seen = {}
for name, transform in transforms.items():
    random.seed(1)
    equal = 0
    for _ in range(700):
        pair = Compose([transform], p=1.0)(image=image, mask=image.copy())
        equal += np.array_equal(pair["image"], pair["mask"])
    seen[name] = equal
    print(f"{name:14}: the mask is still its image's in {equal} of 700")

if not 60 < seen.pop("Flip") < 140 or set(seen.values()) != {700}:
    raise SystemExit("CHANGED: Flip treats image and mask alike, or another transform does not")
print("HOLDS: Flip without an axis turns the image and its mask round different axes")
PYTHON
