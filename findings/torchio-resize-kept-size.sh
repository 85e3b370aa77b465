#!/usr/bin/env bash
# TorchIO's Resize with -1, which keeps an axis as it is, gives all later scans the size of the first.
#
# Expected: Resize((16, 16, -1)) leaves every scan its own number of slices.
# Happens:  the first scan's number is written into the transform itself. Scans of 20, 30 and 50 slices come out with 20 each,
#           in reverse order with 50 each, and with a transform for each of them with 20, 30 and 50. Of five lesions one slice
#           thick in the 50 slices none is left after the 20-slice scan, and all five without it.
# Versions: torchio 1.2.1, torch 2.13.0, SimpleITK 2.5.7, numpy 2.4.6.
# Matters:  one transform serves a whole dataset, and each worker of a loader has its own copy: what a scan becomes depends on the
#           shuffling and on the number of workers. Nothing warns, and affines and masks stay consistent with the image.
# Instead:  Resample to a spacing, or a new Resize for each scan.
# Source:   Resize.apply_transform in torchio/transforms/preprocessing/spatial/resize.py; its docstring: "The size of dimensions
#           set to -1 will be kept." https://github.com/TorchIO-project/torchio/issues/757 tells of the like in CropOrPad.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7 nibabel==5.4.2 \
    torch==2.13.0 torchio==1.2.1

venv/bin/python -W ignore - <<'PYTHON'
import torch
import torchio


def scan(slices: int) -> torchio.Subject:
    mask = torch.zeros(1, 32, 32, slices, dtype=torch.uint8)
    mask[..., 5::10] = 1  # a lesion on every tenth slice
    return torchio.Subject(image=torchio.ScalarImage(tensor=torch.rand(1, 32, 32, slices)), mask=torchio.LabelMap(tensor=mask))


def sizes(scans: list[int], shared: bool) -> tuple[list[int], list[int]]:
    """Slices and slices with a lesion, of each scan after the transform."""
    one = torchio.Resize((16, 16, -1))
    done = [(one if shared else torchio.Resize((16, 16, -1)))(scan(slices)) for slices in scans]
    return [each.spatial_shape[2] for each in done], [int(each["mask"].data[0].any(0).any(0).sum()) for each in done]


seen = {"one transform": sizes([20, 30, 50], True), "in reverse": sizes([50, 30, 20], True)}
seen["one for each"] = sizes([20, 30, 50], False)
for name, (slices, lesions) in seen.items():
    print(f"{name:13}: slices {slices}, lesions {lesions}")
if (seen["one transform"][0], seen["in reverse"][0], seen["one for each"]) != (
    [20, 20, 20], [50, 50, 50], ([20, 30, 50], [2, 3, 5])) or seen["one transform"][1][2] != 0:  # fmt: skip
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the first scan decides the number of slices of all")
PYTHON
