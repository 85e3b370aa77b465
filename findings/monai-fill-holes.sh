#!/usr/bin/env bash
# MONAI's FillHoles erases every tumour that lies wholly inside of the liver, and changes the mask that it is given.
#
# Expected: the docstring has holes be background with one class all round, so the liver's hole becomes liver and tumours stay.
# Happens:  for each label everything that is not this label counts as background. A tumour with liver all round it becomes
#           liver, whatever its size and number; one that reaches the liver's surface stays. Given channels instead of numbers,
#           the tumour's voxels are in both channels, so that argmax makes them liver, and the hole is in two as well and stays.
#           In both cases the tensor that was passed in is overwritten, so that comparing it with the result shows nothing. Only
#           applied_labels without the liver keeps the tumours, and then the liver's holes stay.
# Versions: monai 1.6.1, torch 2.13.0, scipy 1.17.1, numpy 2.4.6.
# Matters:  it is there to tidy a network's answer, and tumours do lie in organs, and a tumour's core in oedema. What is left of
#           the tumours are those at the surface, which looks like a network that misses the others.
# Instead:  give it a copy, and take its answer only where the mask was 0: torch.where(mask > 0, mask, filled).
# Source:   fill_holes in monai/transforms/utils.py (https://github.com/Project-MONAI/MONAI): the outside grows through all that
#           is not the label, and what it does not reach gets the label.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 torch==2.13.0 monai==1.6.1

venv/bin/python -W ignore - <<'PYTHON'
import torch
from monai.transforms import FillHoles

mask = torch.zeros((1, 40, 40, 20), dtype=torch.uint8)
mask[0, 5:35, 5:35, 3:17] = 1  # the liver
mask[0, 15:20, 15:20, 8:12] = 2  # a tumour inside of it
mask[0, 30:35, 10:14, 8:12] = 2  # a tumour at its surface
mask[0, 25:27, 25:27, 9:11] = 0  # a hole


def count(labels: torch.Tensor) -> list[int]:
    """Voxels of the hole that are liver, and voxels of the tumours inside and at the surface."""
    parts = (labels[0, 25:27, 25:27, 9:11] == 1, labels[0, 15:20, 15:20, 8:12] == 2, labels[0, 30:35, 10:14, 8:12] == 2)
    return [int(part.sum()) for part in parts]


given = mask.clone()
channels = FillHoles()(torch.cat([mask == label for label in range(3)]).to(torch.uint8))
both = int((channels.sum(0) > 1).sum())
filled = FillHoles()(mask.clone())
seen = {
    "the mask": count(mask),
    "FillHoles()": count(FillHoles()(given)),
    "the mask given to it": count(given),
    "applied_labels=1": count(FillHoles(applied_labels=1)(mask.clone())),
    "applied_labels=2": count(FillHoles(applied_labels=2)(mask.clone())),
    "channels, then argmax": count(channels.argmax(0, keepdim=True)),
    "only where it was 0": count(torch.where(mask > 0, mask, filled)),
}
for name, (hole, inside, surface) in seen.items():
    print(f"{name:21}: {hole} of 8 voxels of the hole filled, tumour inside {inside}, at the surface {surface}")
print(f"channels: {both} voxels are in two of them")

erased = [8, 0, 80]
expected = {
    "the mask": [0, 100, 80],
    "FillHoles()": erased,
    "the mask given to it": erased,
    "applied_labels=1": erased,
    "applied_labels=2": [0, 100, 80],
    "channels, then argmax": [0, 0, 80],
    "only where it was 0": [8, 100, 80],
}
if seen != expected or both != 108:
    raise SystemExit(f"CHANGED: {seen}, {both}")
print("HOLDS: filling the liver's holes erases the tumour inside of it")
PYTHON
