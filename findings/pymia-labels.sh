#!/usr/bin/env bash
# pymia's BinaryThreshold marks everything below zero as foreground, and its Relabel transform joins labels that change places.
#
# Expected: BinaryThreshold(t) makes 1 of what is above t and 0 of the rest, and Relabel({new: old}) replaces the old labels.
# Happens:  BinaryThreshold sets the upper end of SimpleITK's interval alone; the lower end stays 0, and what lies below it is
#           "outside" and becomes 1. Of the logits -5, -0.1, 0.2, 0.6 and 4 at a threshold of 0.5, four are foreground; of a CT in
#           HU at 200 the air around the patient is, with the bone. Relabel of the transforms makes one change after the other
#           on the array that the last one has changed: {1: 2, 2: 1} makes all 2, and {1: 2, 0: 1}, which drops label 1 and
#           moves label 2 down, erases both. The Relabel of pymia's filters does both rightly with the same dictionary.
# Versions: pymia 0.3.4, SimpleITK 2.5.7, numpy 1.26.4, scipy 1.14.1.
# Matters:  both give masks of the right kind without a warning: probabilities work, logits do not; merges work, swaps do not.
#           Relabel comes before training, where an erased class looks like one that the network fails to learn.
# Instead:  array > threshold; pymia.filtering.misc.Relabel, or a lookup table made before the first label is written.
# Source:   BinaryThreshold in pymia/filtering/postprocessing.py, "Represents a binary threshold image filter", and Relabel in
#           pymia/data/transformation.py, which has no docstring (https://github.com/rundherum/pymia).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==1.26.4 scipy==1.14.1 SimpleITK==2.5.7
venv/bin/pip install --quiet --disable-pip-version-check --no-deps pymia==0.3.4

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import pymia.data.transformation as transforms
import SimpleITK
from pymia.filtering.misc import Relabel
from pymia.filtering.postprocessing import BinaryThreshold


def above(values: list[float], threshold: float) -> list[int]:
    """What BinaryThreshold makes of a row of values."""
    image = SimpleITK.GetImageFromArray(np.array([values]))
    return SimpleITK.GetArrayFromImage(BinaryThreshold(threshold).execute(image))[0].tolist()


def relabelled(changes: dict[int, int]) -> tuple[list[int], list[int]]:
    """What the transform and the filter make of the labels 0, 1, 1, 2, 2."""
    labels = np.array([[0, 1, 1, 2, 2]], np.uint8)
    filtered = Relabel(changes).execute(SimpleITK.GetImageFromArray(labels))
    transformed = transforms.Relabel(changes, entries=("labels",))({"labels": labels.copy()})["labels"]
    return transformed[0].tolist(), SimpleITK.GetArrayFromImage(filtered)[0].tolist()


rows = {"logits": ([-5.0, -0.1, 0.2, 0.6, 4.0], 0.5), "probabilities": ([0.0, 0.2, 0.6, 1.0], 0.5),
        "HU of air, fat, liver, bone": ([-1000.0, -80.0, 60.0, 700.0], 200.0)}  # fmt: skip
seen = [above(*row) for row in rows.values()]
for (name, (values, threshold)), found in zip(rows.items(), seen, strict=True):
    print(f"{name} {values} above {threshold:g}: {found}")
swap, down = relabelled({1: 2, 2: 1}), relabelled({1: 2, 0: 1})
print(f"labels [0, 1, 1, 2, 2], 1 and 2 exchanged: by the transform {swap[0]}, by the filter {swap[1]}")
print(f"label 1 dropped and 2 made 1:              by the transform {down[0]}, by the filter {down[1]}")
holds = seen == [[1, 1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1]]
if not holds or swap != ([0, 2, 2, 2, 2], [0, 2, 2, 1, 1]) or down != ([0] * 5, [0, 0, 0, 1, 1]):
    raise SystemExit(f"CHANGED: {seen, swap, down}")
print("HOLDS: below zero is foreground, and changes of labels are made on top of each other")
PYTHON
