#!/usr/bin/env bash
# miseval's Hausdorff distance is 0 for masks that do not touch, and its average Hausdorff distance is the greatest distance.
#
# Expected: "HD" is the greatest distance from a voxel of one mask to the other mask, "AHD" the average, and each class has its own.
# Happens:  "HD" takes every row of the picture for one point, whose coordinates are the labels in it, and compares those. A square
#           moved down by 30 rows gets 0, moved to the right by 1 gets 1.41, by 5 or by 30 gets 3.16, and so does one that was
#           missed. Classes are ignored: all get one number, which grows with the labels' values. "AHD" is what "HD" should be, the
#           maximum: 43.8 for a perfect mask with one voxel too many far away (Dice 0.995), where the average is 1.2.
# Versions: miseval 1.3.0, hausdorff 0.2.6, numpy 2.4.6, scipy 1.17.1.
# Matters:  miseval is made for tables of segmentation results, and its guideline recommends AHD. An HD from it says next to nothing
#           of distances and changes when the picture is turned; an AHD from it is up to 37 times the average here.
# Instead:  report its "AHD" as the Hausdorff distance and its "HD" not at all; take averages from MedPy's assd or surface-distance.
# Source:   miseval/hausdorff.py (https://github.com/frankkramer-lab/miseval): "HD" hands the two masks, in place of their voxels'
#           coordinates, to a function for lists of points; "AHD" ends in np.max. The README gives the names alone, and the tests
#           look at nothing but the type of the result.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 scikit-learn==1.9.1 \
    numba==0.68.1 hausdorff==0.2.6 dictances==1.5.3 miseval==1.3.0

venv/bin/python - <<'PYTHON'
import numpy as np
from miseval import evaluate
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree


def square(down: int = 0, right: int = 0) -> np.ndarray:
    """A picture with a square of 10 x 10 voxels, moved so many rows and columns."""
    picture = np.zeros((64, 64), int)
    picture[20 + down : 30 + down, 20 + right : 30 + right] = 1
    return picture


def right_ones(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Hausdorff distance and average Hausdorff distance (the greater of the two means) of two masks' border voxels."""
    points = [np.argwhere((mask > 0) & ~binary_erosion(mask > 0)) for mask in (one, other)]
    there, back = cKDTree(points[1]).query(points[0])[0], cKDTree(points[0]).query(points[1])[0]
    return round(float(max(there.max(), back.max())), 2), round(float(max(there.mean(), back.mean())), 2)


def theirs(one: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(evaluate(one, other, metric=metric)), 3) for metric in ("DSC", "HD", "AHD"))


stray = square()
stray[60, 60] = 1
cases = {"down 1": square(1), "down 5": square(5), "down 30": square(30),
         "right 1": square(0, 1), "right 5": square(0, 5), "right 30": square(0, 30), "one voxel far away": stray}  # fmt: skip
seen = {name: (*theirs(square(), mask), *right_ones(square(), mask)) for name, mask in cases.items()}
for name, (dice, hd, ahd, true_hd, true_ahd) in seen.items():
    print(f"{name:18}: Dice {dice:<5g} miseval HD {hd:<5g} AHD {ahd:<6g} by the definitions HD {true_hd:<5g} AHD {true_ahd:g}")
seen["missed"] = theirs(square(), np.zeros_like(stray))
seen["turned"] = theirs(np.ascontiguousarray(square().T), np.ascontiguousarray(square(30).T))
print(f"missed altogether : HD {seen['missed'][1]:g}; 'down 30' with rows and columns exchanged: HD {seen['turned'][1]:g}")
for high in (2, 4):
    organs = square(-15) + high * square(25)
    seen[high] = evaluate(organs, square(-15) + high * square(25, 5), metric="HD", n_classes=high + 1)[1:].round(2).tolist()
    print(f"labels 1 (right) and {high} (moved by 5): HD of the classes 1 to {high}: {seen[high]}")

expected = {"down 1": (0.9, 0.0, 1.0), "down 5": (0.5, 0.0, 5.0), "down 30": (0.0, 0.0, 30.0), "right 1": (0.9, 1.414, 1.0),
            "right 5": (0.5, 3.162, 5.0), "right 30": (0.0, 3.162, 30.0), "one voxel far away": (0.995, 1.0, 43.841)}  # fmt: skip
holds = all(seen[name][:3] == value and abs(value[2] - seen[name][3]) < 0.01 for name, value in expected.items())
holds &= seen["one voxel far away"][4] == 1.18 and seen["missed"][1] == 3.162 and seen["turned"][1] == 3.162
if not holds or seen[2] != [5.48] * 2 or seen[4] != [11.4] * 4:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: HD compares rows of labels, and AHD is the greatest distance")
PYTHON
