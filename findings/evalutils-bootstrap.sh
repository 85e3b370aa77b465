#!/usr/bin/env bash
# evalutils' confidence intervals of ROC curves never draw the last case.
#
# Expected: the docstring has as many cases as there are drawn from all of them, with replacement; their order means nothing.
# Happens:  the last case is left out of every draw. Of 21 cases with one missed lesion the area under the curve is 0.909; if that
#           lesion comes last, the interval for it is 1 to 1, which the area itself is not in. With the same cases in another
#           order it is 0.7 to 1. get_bootstrapped_ci_point_error draws in the same way.
# Versions: evalutils 0.5.0 and grand-challenge-metrics 0.6.0, which evalutils 0.6.0 stands for; 0.4.2 has the same lines.
# Matters:  these are the measures that grand-challenge.org offers for challenges. Test sets are small where intervals are wide,
#           and lists of cases come sorted by kind or difficulty.
# Instead:  give it all cases followed by one more, no matter which: only that one is left out then. Each draw has one case more.
# Source:   get_bootstrapped_roc_ci_curves in evalutils/roc.py and grand_challenge_metrics/roc.py
#           (https://github.com/DIAGNijmegen/rse-grand-challenge-metrics): randint leaves its upper end out, and it is n - 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.2.6 scipy==1.15.3 scikit-learn==1.7.2
venv/bin/pip install --quiet --disable-pip-version-check --no-deps evalutils==0.5.0 grand-challenge-metrics==0.6.0

venv/bin/python -W ignore - <<'PYTHON'
import evalutils.roc
import grand_challenge_metrics.roc
import numpy as np
from sklearn.metrics import roc_auc_score

true = np.array([0] * 10 + [1] * 11)
scores = np.array([0.1] * 10 + [0.9] * 10 + [0.0])  # of 11 lesions the last is missed
orders = {"missed lesion last": np.arange(21), "missed lesion first": np.arange(20, -1, -1), "last, one more": np.r_[:21, 0]}
seen = {}
for name, order in orders.items():
    area = round(roc_auc_score(true[order], scores[order]), 3)
    seen[name] = [area]
    for module in (evalutils.roc, grand_challenge_metrics.roc):
        curves = module.get_bootstrapped_roc_ci_curves(scores[order], true[order], num_bootstraps=200)
        seen[name].append([round(float(value), 3) for value in (curves.low_az_val, curves.high_az_val, curves.mean_tpr_vals[1])])
    (low, high, rate), other = seen[name][1:]
    assert other == [low, high, rate], seen
    print(f"{name:20}: area {area}, interval {low} to {high}, mean sensitivity at 1 % false alarms {rate}")

expected = {"missed lesion last": [0.909] + [[1.0, 1.0, 1.0]] * 2, "missed lesion first": [0.909] + [[0.7, 1.0, 0.916]] * 2}
expected["last, one more"] = [0.909] + [[0.667, 1.0, 0.908]] * 2
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the last case is in no draw, and the area is not in its interval")
PYTHON
