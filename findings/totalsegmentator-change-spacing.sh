#!/usr/bin/env bash
# TotalSegmentator's change_spacing does not put voxels where the affine that it writes says they are.
#
# Expected: an image brought to another spacing lies in the same place in space, and so do labels resampled by the same function.
# Happens:  the new affine keeps the first voxel's centre and steps by the new spacing. The content instead runs from the first
#           centre to the last one, stretched to fit, so that an error grows along the axis: to 3 mm at the last slice (40 slices
#           of 5 mm to 1.5 mm), 1 mm (200 of 1 mm to 3 mm) and 4 mm (200 of 1 mm to 5 mm). A ball of 12 mm taken from 1 to 5 mm
#           has a Dice of 1, 0.732 and 0.532 near the first, middle and last slice with what that affine asks for. With
#           crop_resample=True, the option for labels, the outer faces are lined up instead: 0.732 at all three, at 3 mm 0.88,
#           0.962 and 1.
# Versions: TotalSegmentator 2.18.0, numpy 2.4.6, scipy 1.17.1, nibabel 5.4.2, joblib 1.6.0.
# Matters:  scans and masks that are resampled with it lie beside whatever else is placed by its affine, and an image beside its
#           own labels where only these took crop_resample. The header is in order, so nothing shows it.
# Instead:  nibabel.processing.resample_from_to or SimpleITK's Resample onto a grid of your own.
# Source:   change_spacing in totalsegmentator/resampling.py (https://github.com/wasserth/TotalSegmentator); scipy.ndimage.zoom,
#           which it calls, says that the centres of the corner voxels are kept unless grid_mode=True.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 nibabel==5.4.2 joblib==1.6.0
venv/bin/pip install --quiet --disable-pip-version-check --no-deps TotalSegmentator==2.18.0

venv/bin/python - <<'PYTHON'
import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from totalsegmentator.resampling import change_spacing


def image(array: np.ndarray, spacing: float) -> nib.Nifti1Image:
    return nib.Nifti1Image(array, np.diag([1.0, 1.0, spacing, 1.0]))


def errors(slices: int, old: float, new: float) -> list[float]:
    """Millimetres from where the affine puts the first, middle and last slice to where their content was."""
    where = np.broadcast_to(old * np.arange(slices, dtype=np.float32), (4, 4, slices)).copy()
    moved = change_spacing(image(where, old), [1.0, 1.0, new], order=1, dtype=np.float32)
    off = moved.get_fdata()[1, 1] - (moved.affine[2, 3] + moved.affine[2, 2] * np.arange(moved.shape[2]))
    return [round(float(off[at]), 1) + 0.0 for at in (0, len(off) // 2, -1)]


def dice(crop_resample: bool, new: float) -> list[float]:
    """Dice of balls near the first, middle and last of 200 slices of 1 mm, as moved and as the new affine asks for."""
    x, y, z = np.mgrid[:24, :24, :200]
    labels = np.zeros(x.shape, np.uint8)
    for label, centre in enumerate((12, 100, 187), 1):
        labels[(x - 12) ** 2 + (y - 12) ** 2 + (z - centre) ** 2 <= 36] = label
    order = 1 if crop_resample else 0
    moved = change_spacing(image(labels, 1.0), [1.0, 1.0, new], order=order, dtype=np.uint8, crop_resample=crop_resample)
    right = resample_from_to(image(labels, 1.0), (moved.shape, moved.affine), order=0).get_fdata()
    pairs = [(moved.get_fdata() == label, right == label) for label in (1, 2, 3)]
    return [round(2 * float((a & b).sum() / (a.sum() + b.sum())), 3) for a, b in pairs]


seen = {}
for slices, old, new in ((40, 5.0, 1.5), (200, 1.0, 3.0), (200, 1.0, 5.0)):
    seen[old, new] = errors(slices, old, new)
    print(f"{slices} slices, {old:g} to {new:g} mm: off by {seen[old, new]} mm at the first, middle and last slice")
for new in (3.0, 5.0):
    for crop in (False, True):
        seen[new, crop] = dice(crop, new)
        print(f"balls, 1 to {new:g} mm, crop_resample={crop}: Dice with themselves {seen[new, crop]} (first, middle, last)")

expected = {(5.0, 1.5): [0.0, -1.5, -3.0], (1.0, 3.0): [0.0, 0.5, 1.0], (1.0, 5.0): [0.0, 2.1, 4.0],
            (3.0, False): [1.0, 0.912, 0.88], (3.0, True): [0.88, 0.962, 1.0],
            (5.0, False): [1.0, 0.732, 0.532], (5.0, True): [0.732, 0.732, 0.732]}  # fmt: skip
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: neither way follows the affine")
PYTHON
