#!/usr/bin/env bash
# MONAI moves labels, but not images, when it shrinks them.
#
# Expected: Resize brings an image (mode "area" or "trilinear") and its mask (mode "nearest") to one grid, and the affine it
#           writes says where the new voxels lie.
# Happens:  the affine is that of new voxels centred on the old ones they replace. "nearest" instead takes the first old voxel of
#           each. Shrunk three times, a mask lies one old voxel per axis away from its image and from its own affine; four times,
#           one and a half. "nearest-exact" takes the middle voxel for odd factors and is half an old voxel off for even ones.
# Versions: MONAI 1.6.1, torch 2.13.0.
# Matters:  networks trained on such pairs learn the shift, and a mask and an image made in one call agree in every header, so
#           nothing shows it. At 1 mm and a factor of 4 the shift is 2.6 mm in space: more than many a reported surface distance.
# Instead:  shrink one-hot labels with "area" and take the argmax, or use Spacing, whose nearest samples follow the affine.
# Source:   https://github.com/pytorch/pytorch/issues/34808 tells of the shift in torch's interpolate, on which Resize rests.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 monai==1.6.1

venv/bin/python - <<'PYTHON'
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Resize

side = 72
where = torch.arange(side, dtype=torch.float32).reshape(1, side, 1, 1).expand(1, side, side, side)
z, y, x = np.mgrid[:side, :side, :side]
ball = (((z - 35.5) ** 2 + (y - 35.5) ** 2 + (x - 35.5) ** 2) <= 20**2).astype(np.float32)


def shift(factor: int, mode: str) -> tuple[float, float]:
    """Millimetres along an axis between a voxel's claimed place and its content's; the same of a ball's centre."""
    resize = Resize((side // factor,) * 3, mode=mode)
    moved = resize(MetaTensor(where.clone(), affine=torch.eye(4)))
    claimed = moved.affine[0, 3].item() + moved.affine[0, 0].item() * np.arange(side // factor)
    mask = resize(MetaTensor(torch.from_numpy(ball)[None], affine=torch.eye(4)))
    centre = np.argwhere(np.asarray(mask[0]) > 0.5)[:, 0].mean() * mask.affine[0, 0].item() + mask.affine[0, 3].item()
    return round(float(np.mean(claimed - np.asarray(moved[0, :, 0, 0]))), 3), round(float(centre - 35.5), 1)


seen = {}
for factor in (2, 3, 4):
    for mode in ("area", "trilinear", "nearest", "nearest-exact"):
        seen[factor, mode] = shift(factor, mode)
        print(f"1 mm voxels shrunk {factor} times, {mode:13}: affine minus content {seen[factor, mode][0]:+.2f} mm,"
              f" the ball moved by {seen[factor, mode][1]:+.1f} mm")

contents = {key: value[0] for key, value in seen.items()}
expected = {(2, "nearest"): 0.5, (3, "nearest"): 1.0, (4, "nearest"): 1.5,
            (2, "nearest-exact"): -0.5, (3, "nearest-exact"): 0.0, (4, "nearest-exact"): -0.5}  # fmt: skip
expected |= {(factor, mode): 0.0 for factor in (2, 3, 4) for mode in ("area", "trilinear")}
if any(abs(contents[key] - expected[key]) > 0.01 for key in expected) or not 0.8 < seen[3, "nearest"][1] < 1.2:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: labels shrunk with nearest lie beside their images")
PYTHON
