#!/usr/bin/env bash
# panoptica's check that two images lie in the same place passes whenever the prediction lies on the lower side.
#
# Expected: two masks of one shape in different places are refused, or not, whichever of them is the prediction.
# Happens:  the differences of the two origins (for nibabel, of the affines) are added up with their signs, and only a sum above
#           0.00001 is refused. A prediction 50 mm to one side of the reference raises "Origin Mismatch"; one 50 mm to the other
#           side has a Dice of 1, and so has one moved by 50 mm along x and -50 mm along y, or one with two axes turned round.
# Versions: panoptica 2.1.7, SimpleITK 2.5.7, numpy 2.2.6, scipy 1.17.1.
# Matters:  a check that has been seen to refuse is relied on; half of the masks that a resampling or a crop put in a wrong place
#           pass it, and voxels that have nothing to do with each other are compared.
# Instead:  compare origin, spacing and direction with numpy.allclose first.
# Source:   sanity_check_images in panoptica/utils/input_check_and_conversion/check_sitk_image.py, check_nibabel_image.py and
#           check_nrrd_image.py (https://github.com/BrainLesion/panoptica).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.2.6 scipy==1.17.1 scikit-image==0.26.0 SimpleITK==2.5.7 \
    rich==13.9.4 ruamel.yaml==0.18.10 tqdm==4.70.1 pandas==2.3.3 plotly==5.24.1
venv/bin/pip install --quiet --disable-pip-version-check --no-deps panoptica==2.1.7

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import SimpleITK as sitk
from panoptica import InputType, Metric, Panoptica_Evaluator, disable_citation_reminder


def mask(origin: tuple = (0.0, 0.0, 0.0), turned: bool = False) -> sitk.Image:
    voxels = np.zeros((12, 40, 40), np.uint8)
    voxels[4:8, 10:20, 10:20] = 1
    image = sitk.GetImageFromArray(voxels)
    image.SetOrigin(origin)
    if turned:
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return image


disable_citation_reminder()
evaluator = Panoptica_Evaluator(expected_input=InputType.MATCHED_INSTANCE, instance_metrics=[Metric.DSC])
predictions = {"50 mm up": mask((50, 0, 0)), "50 mm down": mask((-50, 0, 0)), "both": mask((50, -50, 0))}
predictions["turned"] = mask(turned=True)
seen = {}
for name, prediction in predictions.items():
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.Resample(prediction, mask(), sitk.Transform(), sitk.sitkNearestNeighbor), mask())
    try:
        score = round(float(evaluator.evaluate(prediction, mask())["ungrouped"].sq_dsc), 3)
    except ValueError:
        score = "refused"
    seen[name] = [round(overlap.GetDiceCoefficient(), 3), score]
    print(f"{name:10}: Dice where they lie {seen[name][0]}, panoptica {seen[name][1]}")

if seen != {"50 mm up": [0.0, "refused"], "50 mm down": [0.0, 1.0], "both": [0.0, 1.0], "turned": [0.0, 1.0]}:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: masks in other places pass the check on one side and are refused on the other")
PYTHON
