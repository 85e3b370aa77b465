#!/usr/bin/env bash
# picai_eval's sensitivity of a detector that finds every lesion is too low by a lesion, or 0.
#
# Expected: the FROC curve of a detector that finds all lesions, with no false alarm, reaches a sensitivity of 1.
# Happens:  the curve's last point is replaced by the one before it, since it is taken for the threshold 0 of missed lesions.
#           Where none was missed it is a real one. Of ten lesions, found with confidences 1 to 0.1, lesion_TPR_at_FPR(1) is 0.9.
#           Found as masks of 0 and 1 there is one threshold, and the answer is 0; the same with one of the ten missed is 0.9.
#           AP and AUROC are 1 for both perfect detectors.
# Versions: picai_eval 1.4.13, scikit-learn 1.8.0, SimpleITK 2.5.7, numpy 2.4.6, scipy 1.17.1.
# Matters:  it is the evaluation of the PI-CAI challenge and of lesion detection after it. On small test sets, in folds and for
#           subgroups no lesion is missed easily, and what a reader sees there is a sensitivity below that of a worse detector.
# Instead:  count in metrics.lesion_results_flat: the part of the lesions in it whose confidence reaches the threshold.
# Source:   calculate_counts in picai_eval/metrics.py (https://github.com/DIAGNijmegen/picai_eval), "extend curve to infinity".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.8.0 SimpleITK==2.5.7 \
    tqdm==4.70.1 packaging
venv/bin/pip install --quiet --disable-pip-version-check --no-deps picai_eval==1.4.13

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from picai_eval import evaluate

lesions = np.zeros((20, 8, 16, 16), np.int32)
lesions[:10, 2:5, 4:9, 4:9] = 1  # ten scans with a lesion and ten without
steps = np.arange(10, 0, -1) / 10  # 1, 0.9, ... 0.1
detectors = {
    "confidences 1 to 0.1": np.concatenate([steps, np.zeros(10)]),
    "masks": np.repeat([1.0, 0.0], 10),
    "masks, one missed": np.array([1.0] * 9 + [0.0] * 11),
}
seen = {}
for name, confidence in detectors.items():
    maps = (lesions * confidence[:, None, None, None]).astype(np.float32)
    metrics = evaluate(y_det=list(maps), y_true=list(lesions), num_parallel_calls=1)
    # every lesion that is found is found exactly and there are no false alarms: the sensitivity is the part that is found
    found = np.mean([(map_ > 0).any() for map_ in maps[:10]])
    counted = np.mean([confidence > 0 for is_lesion, confidence, _ in metrics.lesion_results_flat if is_lesion])
    assert counted == found, (counted, found)
    seen[name] = [round(float(value), 3) for value in (found, metrics.lesion_TPR_at_FPR(1), metrics.AP, metrics.auroc)]
    print(f"{name:20}: lesions found {seen[name][0]}, sensitivity at 1 FP a scan {seen[name][1]}, "
          f"AP {seen[name][2]}, AUROC {seen[name][3]}")  # fmt: skip

expected = {"confidences 1 to 0.1": [1.0, 0.9, 1.0, 1.0], "masks": [1.0, 0.0, 1.0, 1.0]}
expected["masks, one missed"] = [0.9, 0.9, 0.9, 0.95]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: a detector that finds all lesions has a sensitivity of 0.9 or of 0")
PYTHON
