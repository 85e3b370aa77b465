#!/usr/bin/env bash
# panoptica measures distances with the slices' spacing along the rows, if SimpleITK is installed.
#
# Expected: panoptica takes the spacing from the files that it is given, and says how far apart two masks are in mm.
# Happens:  it reads them by SimpleITK where that is installed, and keeps SimpleITK's spacing (x, y, z) for an array in the
#           order z, y, x. In a scan of 0.5 x 0.5 x 5 mm a mask that lies two slices off, 10 mm, has a Hausdorff distance of 1 mm;
#           one two pixels off, 1 mm, has 10. By their source ASSD, HD95 and surface Dice do the same. Without SimpleITK the same
#           call on the same files goes by nibabel and is right.
# Versions: panoptica 2.1.7, SimpleITK 2.5.7, nibabel 5.4.2, numpy 2.2.6, scipy 1.17.1.
# Matters:  scans with thick slices are the rule. The figures look likely, and change with what else is in the environment.
# Instead:  give arrays and voxelspacing=image.GetSpacing()[::-1], or images that nibabel has loaded.
# Source:   extract_metadata_from_image in panoptica/utils/input_check_and_conversion/check_sitk_image.py
#           (https://github.com/BrainLesion/panoptica).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.2.6 scipy==1.17.1 scikit-image==0.26.0 nibabel==5.4.2 \
    SimpleITK==2.5.7 rich==13.9.4 ruamel.yaml==0.18.10 tqdm==4.70.1 pandas==2.3.3 plotly==5.24.1
venv/bin/pip install --quiet --disable-pip-version-check --no-deps panoptica==2.1.7

cat > measure.py <<'PYTHON'
import json
import sys

import numpy as np
from panoptica import InputType, Metric, Panoptica_Evaluator, disable_citation_reminder
from scipy.spatial.distance import cdist

SPACING = 0.5, 0.5, 5.0  # x, y, z


def organ(x: int, z: int) -> np.ndarray:
    mask = np.zeros((40, 40, 12), np.uint8)
    mask[x : x + 10, 10:20, z : z + 4] = 1
    return mask


masks = {"reference": organ(10, 4), "slices": organ(10, 6), "pixels": organ(12, 4)}
if sys.argv[1] == "write":
    import nibabel

    for name, mask in masks.items():
        nibabel.save(nibabel.Nifti1Image(mask, np.diag([*SPACING, 1.0])), f"{name}.nii.gz")

disable_citation_reminder()
evaluator = Panoptica_Evaluator(expected_input=InputType.MATCHED_INSTANCE, instance_metrics=[Metric.DSC, Metric.HD])
seen = {}
for name in ("slices", "pixels"):
    result = evaluator.evaluate(f"{name}.nii.gz", "reference.nii.gz")["ungrouped"]
    points = [np.argwhere(masks[mask]) * SPACING for mask in (name, "reference")]
    apart = cdist(*points)
    right = max(apart.min(0).max(), apart.min(1).max())
    seen[name] = [round(float(value), 3) for value in (right, result.sq_hd, result.sq_dsc)]
print(json.dumps(seen))
PYTHON
with=$(venv/bin/python measure.py write | tail -n1)
venv/bin/pip uninstall --quiet --disable-pip-version-check --yes SimpleITK
without=$(venv/bin/python measure.py read | tail -n1)
echo "right, panoptica, Dice; with SimpleITK:    $with"
echo "right, panoptica, Dice; without SimpleITK: $without"
[[ $with == '{"slices": [10.0, 1.0, 0.5], "pixels": [1.0, 10.0, 0.8]}' &&
    $without == '{"slices": [10.0, 10.0, 0.5], "pixels": [1.0, 1.0, 0.8]}' ]] || { echo "CHANGED"; exit 1; }
echo "HOLDS: with SimpleITK installed, distances are measured with the spacing of another axis"
