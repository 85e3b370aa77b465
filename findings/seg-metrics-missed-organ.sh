#!/usr/bin/env bash
# seg-metrics gives an organ that was missed a surface distance of 0, the best there is.
#
# Expected: a missed organ has no surface distance: infinite, NaN, or an error.
# Happens:  where a mask is empty, its distance map is set to 0 everywhere, and 0 is what the other mask's surface then reads off
#           it. HD, HD95 and the mean, median and standard deviation of the surface distance of a missed organ are all 0, as for
#           a perfect one, and so they are for an organ found where the reference has none. One voxel found in a far corner has an
#           HD of 56. With the five worst of ten organs missed the mean HD95 falls from 5.5 to 1.5 over all ten, none left out.
#           Asked for distances, it also gives two empty masks the volume similarity 1, and not the 0 that equal volumes have.
# Versions: seg-metrics 1.2.8, SimpleITK 2.5.7, numpy 2.4.6, pandas 2.3.3.
# Matters:  the package writes tables of results. Each miss improves the mean distances, and no NaN shows how many cases were left
#           out, as in MONAI; the log warns of precision and recall alone.
# Instead:  look for dice == 0 in the table and replace the distances there by the scan's diagonal or NaN.
# Source:   computeQualityMeasures in seg_metrics/seg_metrics.py (https://github.com/Jingnan-Jia/segmentation_metrics), where a
#           comment says that the map is set to 0 to spare an exception; the README is silent on empty masks.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 SimpleITK==2.5.7 pandas==2.3.3 \
    matplotlib==3.11.1 tqdm==4.70.1
venv/bin/pip install --quiet --disable-pip-version-check seg-metrics==1.2.8

venv/bin/python -W ignore - 2> /dev/null <<'PYTHON'
import numpy as np
from seg_metrics.seg_metrics import write_metrics

DISTANCES = ["hd", "hd95", "msd", "mdsd", "stdsd"]


def cube(shift: int | None) -> np.ndarray:
    """A mask of an organ moved by so many voxels, or an empty one."""
    mask = np.zeros((40, 40, 40), np.uint8)
    if shift is not None:
        mask[8 + shift : 20 + shift, 6:18, 6:18] = 1
    return mask


def measured(true: np.ndarray, predicted: np.ndarray, *metrics: str) -> list[float]:
    found = write_metrics(labels=[1], gdth_img=true, pred_img=predicted, spacing=[1, 1, 1], metrics=list(metrics))[0]
    return [round(float(found[metric][0]), 1) for metric in metrics]


corner = cube(None)
corner[39, 39, 39] = 1
cases = {"perfect": (cube(0), cube(0)), "5 voxels off": (cube(0), cube(5)), "one voxel in a corner": (cube(0), corner),
         "missed": (cube(0), cube(None)), "none there": (cube(None), cube(0))}  # fmt: skip
seen = {name: measured(*masks, "dice", *DISTANCES) for name, masks in cases.items()}
for name, values in seen.items():
    print(f"{name:21}:", ", ".join(f"{metric} {value:g}" for metric, value in zip(["dice", *DISTANCES], values, strict=True)))
means = []
for missed in (0, 5, 10):
    shifts = [shift if shift <= 10 - missed else None for shift in range(1, 11)]
    means.append(round(float(np.mean([measured(cube(0), cube(shift), "hd95")[0] for shift in shifts])), 2))
print(f"mean HD95 of ten organs 1 to 10 voxels off: {means[0]}; the five worst missed: {means[1]}; all missed: {means[2]}")
empty = cube(None), cube(None)
volumes = measured(*empty, "vs"), measured(*empty, "vs", "hd")[:1], measured(cube(0), cube(5), "vs")
print(f"volume similarity of two empty masks: {volumes[0][0]}, with distances {volumes[1][0]}; of equal volumes: {volumes[2][0]}")
if seen["missed"] != [0.0] * 6 or seen["none there"] != [0.0] * 6 or seen["perfect"] != [1.0] + [0.0] * 5:
    raise SystemExit(f"CHANGED: {seen}")
if seen["one voxel in a corner"][:2] != [0.0, 56.0] or seen["5 voxels off"][1] != 5.0 or means != [5.5, 1.5, 0.0]:
    raise SystemExit(f"CHANGED: {seen, means}")
if volumes != ([0.0], [1.0], [0.0]):
    raise SystemExit(f"CHANGED: {volumes}")
print("HOLDS: the distances of a missed organ are 0")
PYTHON
