#!/usr/bin/env bash
# ANTsPy's multi_label_morphology turns label 1 into label 2 when it dilates or closes, and does all labels when asked for one.
#
# Expected: the docstring has dilation and closing keep the labels that are there, and label_list say which labels are worked on.
# Happens:  dilated or closed, every voxel of label 1 is label 2 afterwards, since the label is added to its own voxels once more,
#           and of two labels 1 and 2 side by side a closing leaves only the latter. With dilation_mask, label 2 becomes label 4
#           as well. A dilated mask of ones has a core of twos and a rim of ones. A list of one label is taken for no list:
#           label_list=[3] dilates, erodes, closes and opens all labels.
# Versions: antspyx 0.6.3, numpy 2.3.5, scipy 1.15.3, pandas 3.1.1.
# Matters:  labels count from 1, and what comes back is a mask of labels that exist. What was the liver is the spleen after a
#           closing that was to fill its holes.
# Instead:  add 10 to the labels before and take it off after; for one label, give a list with a second one that is not there.
# Source:   ants/label/multi_label_morphology.py (https://github.com/ANTsX/ANTsPy): other_labels, and len(label_list) == 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.3.5 scipy==1.15.3 pandas==3.1.1 scikit-learn==1.9.1 \
    statsmodels==0.15.0 matplotlib==3.11.2 antspyx==0.6.3

venv/bin/python -W ignore - <<'PYTHON'
import ants
import numpy as np

mask = np.zeros((40, 40, 20), np.float32)
mask[5:15, 10:20, 4:12] = 1
mask[15:25, 10:20, 4:12] = 2  # side by side with label 1
mask[8:14, 28:34, 5:11] = 3
everywhere = ants.from_numpy(np.ones_like(mask))


def change(operation: str, labels: np.ndarray = mask, **options: object) -> dict[int, list]:
    """For each label the labels that its voxels have afterwards, and how many voxels the label has in the whole image."""
    after = ants.multi_label_morphology(ants.from_numpy(labels), operation, 1, **options).numpy()
    numbers = [int(label) for label in np.unique(labels) if label]
    return {label: [[int(new) for new in np.unique(after[labels == label])], int((after == label).sum())] for label in numbers}


def higher(operation: str, **options: object) -> dict[int, list]:
    """The same with all labels higher by 10."""
    raised = change(operation, np.where(mask > 0, mask + 10, 0).astype(np.float32), **options)
    return {label - 10: [[new - 10 for new in news], count] for label, (news, count) in raised.items()}


seen = {
    "dilated": change("MD"),
    "closed": change("MC"),
    "dilated, mask": change("MD", dilation_mask=everywhere),
    "binary, dilated": change("MD", (mask == 3).astype(np.float32)),
    "dilated, only 3": change("MD", label_list=[3]),
    "closed, +10": higher("MC"),
    "dilated, +10": higher("MD"),
    "dilated, +10, only 3": higher("MD", label_list=[13, 99]),
}
print(f"before              : {[int((mask == label).sum()) for label in (1, 2, 3)]} voxels")
for name, labels in seen.items():
    print(f"{name:20}: " + ", ".join(f"{label} is {news} now, {count} voxels have it" for label, (news, count) in labels.items()))
after = ants.multi_label_morphology(ants.from_numpy(mask), "ME", 1, label_list=[3]).numpy()
eroded = [int((after == label).sum()) for label in (1, 2, 3)]
print(f"eroded, only 3      : {eroded} voxels")

expected = {
    "dilated": {1: [[2], 552], 2: [[2], 2080], 3: [[3], 504]},
    "closed": {1: [[2], 0], 2: [[2], 1600], 3: [[3], 216]},
    "dilated, mask": {1: [[2], 552], 2: [[4], 1280], 3: [[3], 504]},
    "binary, dilated": {1: [[2], 288]},
    "dilated, only 3": {1: [[2], 552], 2: [[2], 2080], 3: [[3], 504]},
    "closed, +10": {1: [[1], 800], 2: [[2], 800], 3: [[3], 216]},
    "dilated, +10": {1: [[1], 1352], 2: [[2], 1280], 3: [[3], 504]},
    "dilated, +10, only 3": {1: [[1], 800], 2: [[2], 800], 3: [[3], 504]},
}
if seen != expected or eroded != [384, 384, 64]:
    raise SystemExit(f"CHANGED: {seen}, {eroded}")
print("HOLDS: label 1 becomes label 2, and a list of one label means all labels")
PYTHON
