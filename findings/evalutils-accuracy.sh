#!/usr/bin/env bash
# evalutils' accuracies from a confusion matrix are 0 for every class that is not perfect.
#
# Expected: the docstring promises accuracy scores for all classes: of one with 1 wrong voxel in 1000, 0.999.
# Happens:  the counts are divided with rounding down. A class has 1 if not one voxel is wrong, and 0 otherwise: a network that
#           gets 999 of 1000 voxels right has the same numbers as one that gets all of them wrong. Dice from the same matrix is
#           right.
# Versions: evalutils 0.5.0 and grand-challenge-metrics 0.6.0, which evalutils 0.6.0 stands for; 0.4.2 has the same line.
# Matters:  these are the measures that grand-challenge.org offers for challenges. In a mean over scans or classes the zeros and
#           ones make a number that looks like an accuracy, and is the part of the classes without any error.
# Instead:  for class i of the matrix cm, 1 - (cm[i].sum() + cm[:, i].sum() - 2 * cm[i, i]) / cm.sum().
# Source:   accuracies_from_confusion_matrix in evalutils/stats.py and grand_challenge_metrics/stats.py
#           (https://github.com/DIAGNijmegen/rse-grand-challenge-metrics), its last line.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.2.6 scipy==1.15.3 scikit-learn==1.7.2
venv/bin/pip install --quiet --disable-pip-version-check --no-deps evalutils==0.5.0 grand-challenge-metrics==0.6.0

venv/bin/python -W ignore - <<'PYTHON'
import evalutils.stats
import grand_challenge_metrics.stats
import numpy as np
from sklearn.metrics import accuracy_score

true = np.zeros((10, 10, 10), int)
true[2:5, 2:5, 2:5] = 1
true[7:, 7:, 7:] = 2
one = true.copy()
one[2, 2, 2] = 0  # one voxel of class 1 is taken for background
predictions = {"perfect": true, "one voxel wrong": one, "all wrong": (true + 1) % 3}
modules = {"evalutils": evalutils.stats, "grand_challenge_metrics": grand_challenge_metrics.stats}
seen = {}
for name, prediction in predictions.items():
    right = [round(accuracy_score((true == label).ravel(), (prediction == label).ravel()), 3) for label in range(3)]
    seen[name] = [right]
    for module in modules.values():
        matrix = module.calculate_confusion_matrix(true, prediction, [0, 1, 2])
        formula = [1 - (matrix[i].sum() + matrix[:, i].sum() - 2 * matrix[i, i]) / matrix.sum() for i in range(3)]
        assert np.allclose(formula, right, atol=1e-3), (formula, right)
        dice = [2 * np.sum((true == i) & (prediction == i)) / (np.sum(true == i) + np.sum(prediction == i)) for i in range(3)]
        assert np.allclose(module.dice_from_confusion_matrix(matrix), dice), dice
        seen[name].append([float(value) for value in module.accuracies_from_confusion_matrix(matrix)])
    print(f"{name:15}: accuracies of the classes {right}; " + ", ".join(f"{m} {v}" for m, v in zip(modules, seen[name][1:])))

expected = {"perfect": [[1.0] * 3] * 3, "one voxel wrong": [[0.999, 0.999, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]}
expected["all wrong"] = [[0.027, 0.027, 0.946], [0.0] * 3, [0.0] * 3]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: a class with one wrong voxel has an accuracy of 0")
PYTHON
