#!/usr/bin/env bash
# MONAI's RemoveSmallObjects keeps a speck that lies within another class, because it joins the channels of the mask.
#
# Expected: one-hot channels are "independent" by default: each loses its pieces that are smaller than min_size.
# Happens:  the channel axis counts as one more direction of space. Of nested regions, a speck of 8 voxels of enhancing tumour
#           that lies in oedema is kept at a min_size of 64, because the whole tumour is marked at the same place in the next
#           channel; the same speck elsewhere goes. Of classes that exclude each other such a speck is kept from connectivity 2
#           on. Which specks stay depends on the order of the channels. Each channel on its own loses them all.
# Versions: monai 1.6.1, scikit-image 0.26.0, torch 2.13.0, numpy 2.4.6.
# Matters:  nested channels are what MONAI's ConvertToMultiChannelBasedOnBratsClasses makes. A speck of enhancing tumour in a case
#           that has none turns the Dice from 1 to 0 in BraTS, and this step, which is there to take it out, does so only if the
#           speck lies outside of the tumour. On a mask of one class the step works.
# Instead:  give it one channel at a time and put the channels together again.
# Source:   remove_small_objects in monai/transforms/utils.py (https://github.com/Project-MONAI/MONAI): the whole array, channels
#           first, goes to skimage.morphology.remove_small_objects as one volume. The word is that of its docstring.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 torch==2.13.0 \
    monai==1.6.1

venv/bin/python -W ignore - <<'PYTHON'
import torch
from monai.transforms import ConvertToMultiChannelBasedOnBratsClasses, RemoveSmallObjects

whole, lesion, within, outside = (torch.zeros(40, 40, 40) for _ in range(4))
whole[5:25, 5:25, 5:25] = 1
lesion[6:12, 6:12, 6:12] = 1  # 216 voxels, large enough to stay
within[15:17, 15:17, 15:17] = 1  # two specks of 8 voxels
outside[30:32, 30:32, 30:32] = 1
small = lesion + within + outside
labels = torch.where(small > 0, 4, 2 * whole)  # 2 is oedema, 4 enhancing tumour
core, tumour, enhancing = ConvertToMultiChannelBasedOnBratsClasses()(labels[None]).float()
assert torch.equal(enhancing, small) and torch.equal(core, small)
masks = {
    "BraTS": (torch.stack([core, tumour, enhancing]), 2),
    "an empty class between": (torch.stack([tumour, torch.zeros_like(core), enhancing]), 2),
    "excluding": (torch.stack([whole * (1 - small), small]), 1),
}

seen = {}
for name, (mask, channel) in masks.items():
    for connectivity in (1, 2):
        remove = RemoveSmallObjects(min_size=64, connectivity=connectivity)
        alone = torch.cat([remove(part[None]) for part in mask])
        for how, answer in (("together", remove(mask)), ("one at a time", alone)):
            left = [int(answer[channel][part > 0].sum()) for part in (lesion, within, outside)]
            seen[name, connectivity, how] = left
            print(f"{name}, connectivity {connectivity}, {how}: lesion {left[0]}, speck within {left[1]}, outside {left[2]}")

expected = dict.fromkeys(seen, [216, 0, 0])
for name, connectivity in (("BraTS", 1), ("BraTS", 2), ("excluding", 2)):
    expected[name, connectivity, "together"] = [216, 8, 0]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: a speck stays if the next channel is marked around it")
PYTHON
