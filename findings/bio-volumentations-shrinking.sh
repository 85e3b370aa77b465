#!/usr/bin/env bash
# bio-volumentations' anti-aliasing for shrinking is applied to volumes that grow: 56 of 64 bright voxels vanish.
#
# Expected: Resize and Rescale with anti_aliasing_downsample=True, the default, smooth a volume before they make it smaller.
# Happens:  the check compares the old and the new shape the wrong way round. A volume shrunk to a quarter is, bit for bit, what
#           it is with anti_aliasing_downsample=False. Of 64 bright voxels, one for each place in a block of 4 x 4 x 4, 8 leave an
#           eighth of their brightness and 56 leave nothing; with scikit-image's own anti-aliasing all 64 leave a trace. Only
#           where one axis grows while the others shrink are the others smoothed.
# Versions: bio-volumentations 1.4.0, scikit-image 0.26.0, scipy 1.17.1, SimpleITK 2.5.7, numpy 2.4.6.
# Matters:  scans are shrunk to fit a network. Calcifications, small metastases and vessels disappear from the image and not from
#           the mask, or the other way round, by a voxel's shift, and fine texture turns into noise.
# Instead:  skimage.transform.resize(..., anti_aliasing=True) or a Gaussian before the transform.
# Source:   resize in bio_volumentations/augmentations/functional.py; the docstring of Resize says of the argument: "Apply the
#           Gaussian filter before down-sampling. Recommended."
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 SimpleITK==2.5.7
venv/bin/pip install --quiet --disable-pip-version-check bio-volumentations==1.4.0

venv/bin/python -W ignore - <<'PYTHON'
import itertools

import numpy as np
from bio_volumentations import Compose, Resize
from skimage.transform import resize


def shrunk(volume: np.ndarray, shape: tuple[int, int, int], smooth: bool) -> np.ndarray:
    return Compose([Resize(shape, anti_aliasing_downsample=smooth)])(image=volume.copy())["image"][0]


SHAPE = 8, 8, 8
noise = np.random.default_rng(0).random((32, 32, 32), np.float32)
same = np.array_equal(shrunk(noise, SHAPE, True), shrunk(noise, SHAPE, False))
mixed = np.array_equal(shrunk(noise, (33, 8, 8), True), shrunk(noise, (33, 8, 8), False))
print(f"shrunk to {SHAPE} with and without anti_aliasing_downsample: the same: {same}; to (33, 8, 8): the same: {mixed}")
found, own = [], []
for place in itertools.product(range(12, 16), repeat=3):
    volume = np.zeros((32, 32, 32), np.float32)
    volume[place] = 1
    found.append(round(float(shrunk(volume, SHAPE, True).max()), 3))
    own.append(round(float(resize(volume, SHAPE, order=1, mode="reflect", anti_aliasing=True).max()), 3))
values, counts = np.unique(found, return_counts=True)
seen = dict(zip(values.tolist(), counts.tolist(), strict=True))
print(f"brightness that one voxel of 1 leaves, and at how many of its 64 places: {seen}")
print(f"with scikit-image's own anti-aliasing: from {min(own)} to {max(own)}")
if not same or mixed or seen != {0.0: 56, 0.125: 8} or min(own) == 0:
    raise SystemExit(f"CHANGED: {same, mixed, seen, min(own)}")
print("HOLDS: nothing is smoothed before it is made smaller")
PYTHON
