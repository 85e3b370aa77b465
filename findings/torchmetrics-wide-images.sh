#!/usr/bin/env bash
# TorchMetrics' Hausdorff distance of a wide image is 0 for masks that lie apart near its bottom, and not 0 for equal masks.
#
# Expected: the same two masks have the same distance in a square image and in a wider one, and equal masks have 0.
# Happens:  the map of distances is filled as if each row were as long as the image is high. In a wide image the values land too
#           far up, several on one pixel, and the lower rows (half of an image twice as wide as high) keep 0. Of 64 x 128 pixels,
#           equal masks near the top get 41, and masks 92 pixels apart near the bottom get 0, which looks like a perfect result.
#           One column more than rows is enough for 20. With several threads the numbers that are not 0 also change from call to
#           call. A square image is right, and a high one stops with an IndexError.
# Versions: torchmetrics 1.9.0, torch 2.13.0, scipy 1.17.1, numpy 2.4.6.
# Matters:  ultrasound, endoscopy, radiographs and patches are seldom square. A bad network can win by where the masks lie.
# Instead:  add rows of background until the image is square (seen below to give SciPy's numbers), or use another library.
# Source:   distance_transform in torchmetrics/functional/segmentation/utils.py: the index there is row * height + column.
#           https://github.com/Lightning-AI/torchmetrics/issues/3300, open, tells of the error in high images, and names a wide
#           one as working.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 torch==2.13.0 torchmetrics==1.9.0

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from torchmetrics.segmentation import HausdorffDistance


def block(shape: tuple[int, int], top: int, left: int) -> np.ndarray:
    """A mask of 10 x 16 pixels."""
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + 10, left : left + 16] = True
    return mask


def by_torchmetrics(one: np.ndarray, two: np.ndarray) -> float:
    metric = HausdorffDistance(num_classes=2, input_format="index")
    metric.update(*(torch.from_numpy(mask.astype(np.int64))[None] for mask in (one, two)))
    return round(float(metric.compute()), 2)


def by_scipy(one: np.ndarray, two: np.ndarray) -> float:
    """The longest way from an edge pixel of either mask to the edge of the other."""
    edges = [mask & ~binary_erosion(mask) for mask in (one, two)]
    return round(float(max(distance_transform_edt(~a)[b].max() for a, b in (edges, edges[::-1]))), 2)


def square(mask: np.ndarray) -> np.ndarray:
    return np.pad(mask, [(0, max(mask.shape) - n) for n in mask.shape])


torch.set_num_threads(1)
cases = {
    "64 x 64, equal": ((64, 64), (10, 8), (10, 8)),
    "64 x 64, 8 rows off": ((64, 64), (10, 8), (18, 8)),
    "64 x 65, equal": ((64, 65), (10, 8), (10, 8)),
    "64 x 128, equal, near the top": ((64, 128), (10, 8), (10, 8)),
    "64 x 128, 8 rows off": ((64, 128), (10, 8), (18, 8)),
    "64 x 128, apart, near the bottom": ((64, 128), (45, 8), (45, 100)),
}
seen = {}
for name, (shape, one, two) in cases.items():
    masks = block(shape, *one), block(shape, *two)
    seen[name] = (by_scipy(*masks), by_torchmetrics(*masks), by_torchmetrics(*map(square, masks)))
    print(f"{name:32}: SciPy {seen[name][0]}, TorchMetrics {seen[name][1]}, with rows added {seen[name][2]}")

truth, answers, mended = zip(*seen.values(), strict=True)
wrong = answers[2] > 10 and answers[3] > 10 and answers[4] > 10 and answers[5] == 0
if truth != (0, 8, 0, 0, 8, 92) or mended != truth or answers[:2] != (0, 8) or not wrong:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the distance depends on the width of the image and on where in it the masks lie")
PYTHON
