#!/usr/bin/env bash
# acvl_utils' parallel conversion of instances leaves their borders out, and instances that touch become one on the way back.
#
# Expected: convert_instanceseg_to_semantic_patched_mp makes of each instance a centre and a border, as its two sisters do; its
#           docstring tells it from convert_instanceseg_to_semantic_patched by the use of several processes alone.
# Happens:  no border is drawn at the six faces of an instance's bounding box. A box gets none at all: two boxes of 2160 voxels
#           that touch become one centre of 4320, and convert_semantic_to_instanceseg makes one instance of them. The sisters give
#           them borders of 2912 voxels and bring back two of 2160. Two balls that touch lose the 30 border voxels at their poles.
# Versions: acvl_utils 0.2.6, scikit-image 0.26.0, scipy 1.17.1, numpy 2.4.6, SimpleITK 2.5.7, connected-components-3d 4.1.1,
#           blosc2 4.14.1, torch 2.13.0.
# Matters:  the borders are what a network learns to keep instances apart with: teeth, vertebrae, cells and grains. No message is
#           given, and round instances look right.
# Instead:  convert_instanceseg_to_semantic_patched, one image per process.
# Source:   acvl_utils/instance_segmentation/instance_as_semantic_seg.py (https://github.com/MIC-DKFZ/acvl_utils): pad_amount is 1
#           in one function and 0 in the other, and scikit-image's binary_erosion erodes nothing at the edge of an array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 SimpleITK==2.5.7 \
    connected-components-3d==4.1.1 blosc2==4.14.1 torch==2.13.0
venv/bin/pip install --quiet --disable-pip-version-check --no-deps acvl_utils==0.2.6

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from acvl_utils.instance_segmentation import instance_as_semantic_seg as library

z, y, x = np.indices((30, 40, 30))
boxes = np.zeros(z.shape, np.uint8)
boxes[8:20, 5:20, 8:20] = 1
boxes[8:20, 20:35, 8:20] = 2
balls = np.zeros_like(boxes)
balls[(z - 15) ** 2 + (y - 12) ** 2 + (x - 15) ** 2 <= 64] = 1
balls[((z - 15) ** 2 + (y - 28) ** 2 + (x - 15) ** 2 <= 64) & (balls == 0)] = 2
ways = {
    "whole image": library.convert_instanceseg_to_semantic,
    "patches": library.convert_instanceseg_to_semantic_patched,
    "patches, parallel": lambda mask: library.convert_instanceseg_to_semantic_patched_mp(mask, num_processes=1),
}

seen = {}
for name, mask in (("boxes", boxes), ("balls", balls)):
    for way, convert in ways.items():
        semantic = convert(mask.copy())
        instances = library.convert_semantic_to_instanceseg(semantic.copy())
        assert np.array_equal(semantic > 0, mask > 0) and np.array_equal(instances > 0, mask > 0)
        seen[name, way] = [np.bincount(part.ravel())[1:].tolist() for part in (semantic, instances)]
        print(f"{name}, {way:17}: centre and border {seen[name, way][0]}, instances that come back {seen[name, way][1]}")

expected = dict.fromkeys([("boxes", way) for way in ways], [[1408, 2912], [2160, 2160]])
expected |= dict.fromkeys([("balls", way) for way in ways], [[1945, 2272], [2109, 2108]])
expected["boxes", "patches, parallel"] = [[4320], [4320]]
expected["balls", "patches, parallel"] = [[1975, 2242], [2108, 2109]]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: in parallel the boxes have no borders, and the two that touch come back as one")
PYTHON
