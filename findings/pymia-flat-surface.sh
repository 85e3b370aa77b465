#!/usr/bin/env bash
# pymia's surface Dice and HD95 of a 2D mask count the whole inside as surface: 0.965 for a mask that is 2 mm off all round.
#
# Expected: the surface of a 2D mask is its outline, as it is in the package that pymia names as its original.
# Happens:  a 2D mask is measured as a slice of a 3D one with nothing above and below, so every pixel of it lies on the surface,
#           front and back. A square of 40 x 40 pixels predicted 2 pixels too large on each side, no point of whose outline is
#           within 1 mm, has a surface Dice at 1 mm of 0.965 and not 0; one moved by 3 pixels in both directions 0.917 and not
#           0.04, and an HD95 of 2 and not 3. The larger the mask, the worse: 0.867 for 10 x 10, 0.982 for 80 x 80.
# Versions: pymia 0.3.4, surface-distance 0.1, SimpleITK 2.5.7, numpy 1.26.4, scipy 1.14.1.
# Matters:  2D networks are scored slice by slice. The figures look like good surface Dice, follow the area as Dice does, and hide
#           that the outline is wrong throughout.
# Instead:  surface-distance itself with two spacings, or stack the slices and measure in 3D.
# Source:   Distances in pymia/evaluation/metric/base.py (https://github.com/rundherum/pymia), where a comment tells of the added
#           axis; the docstrings of the metrics have no word of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==1.26.4 scipy==1.14.1 SimpleITK==2.5.7 scikit-image==0.24.0
venv/bin/pip install --quiet --disable-pip-version-check --no-deps pymia==0.3.4 surface-distance==0.1

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import surface_distance
from pymia.evaluation.evaluator import SegmentationEvaluator
from pymia.evaluation.metric import DiceCoefficient, HausdorffDistance, SurfaceDiceOverlap


def square(side: int, first: int) -> np.ndarray:
    mask = np.zeros((120, 120), np.uint8)
    mask[first : first + side, first : first + side] = 1
    return mask


def measured(true: np.ndarray, predicted: np.ndarray) -> list[float]:
    """Dice, and HD95 and surface Dice at 1 mm, each by pymia and by surface-distance."""
    evaluator = SegmentationEvaluator([DiceCoefficient(), HausdorffDistance(95), SurfaceDiceOverlap(1)], {1: "organ"})
    evaluator.evaluate(predicted, true, "case")
    dice, hd95, surface = (float(result.value) for result in evaluator.results)
    apart = surface_distance.compute_surface_distances(true > 0, predicted > 0, (1, 1))
    other = surface_distance.compute_robust_hausdorff(apart, 95), surface_distance.compute_surface_dice_at_tolerance(apart, 1)
    return [round(float(value), 3) for value in (dice, hd95, other[0], surface, other[1])]


cases = {f"{side} x {side}, 2 too large": (square(side, 20), square(side + 4, 18)) for side in (10, 40, 80)}
cases["40 x 40, moved by 3 and 3"] = square(40, 20), square(40, 23)
seen = {name: measured(*masks) for name, masks in cases.items()}
for name, (dice, hd95, true_hd95, surface, true_surface) in seen.items():
    print(f"{name:25}: Dice {dice:<5}, HD95 {hd95:<5} (right: {true_hd95}), surface Dice {surface:<5} (right: {true_surface})")
if [value[3:] for value in seen.values()] != [[0.867, 0.0], [0.965, 0.0], [0.982, 0.0], [0.917, 0.038]]:
    raise SystemExit(f"CHANGED: {seen}")
if seen["40 x 40, moved by 3 and 3"][1:3] != [2.0, 3.0]:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the inside of a 2D mask counts as its surface")
PYTHON
