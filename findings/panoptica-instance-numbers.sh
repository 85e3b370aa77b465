#!/usr/bin/env bash
# panoptica finds nothing in a perfect mask whose highest number is 255, and leaves out instances numbered 128.
#
# Expected: the numbers of instances name them, no more: a mask compared with itself has every instance found and a Dice of 1.
# Happens:  the masks are kept in the smallest unsigned type that holds their numbers. The highest number of the reference plus
#           one, by which pairs of numbers are told apart, is then 0 for 255 (and for 65535): of two equal masks no instance is
#           matched, and the Dice over all voxels lacks it, too. Before that both masks are cut to where their sum is not 0, and
#           128 + 128 is 0 in 8 bits: an instance numbered 128 in both, outside of the others' box, is in neither any more, and
#           counts nowhere. Where the prediction lacks it, it counts as missed. With 254, 127, 129 or 256 all is as expected.
# Versions: panoptica 2.1.7, numpy 2.2.6, scipy 1.17.1.
# Matters:  one structure is often stored as 255; lesions or nuclei numbered one by one end with 255 in some scan, and that scan's
#           panoptic quality is 0.
# Instead:  add a number above 255 to both masks, of one voxel far from all else, and take it off the counts.
# Source:   _calc_overlapping_labels and _get_paired_crop in panoptica/_functionals.py, ProcessingPair in
#           panoptica/utils/processing_pair.py (https://github.com/BrainLesion/panoptica).
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
from panoptica import InputType, Metric, NaiveThresholdMatching, Panoptica_Evaluator, disable_citation_reminder


def mask(*numbers: int) -> np.ndarray:
    """A block of 2 x 8 x 8 voxels for each number, in 16 bits."""
    voxels = np.zeros((20, 20, 20), np.uint16)
    for place, number in enumerate(numbers):
        voxels[2 + 6 * place : 4 + 6 * place, 2:10, 2:10] = number
    return voxels


disable_citation_reminder()
evaluator = Panoptica_Evaluator(expected_input=InputType.UNMATCHED_INSTANCE, instance_matcher=NaiveThresholdMatching(),
                                instance_metrics=[Metric.DSC], global_metrics=[Metric.DSC])  # fmt: skip
seen = {}
for numbers in ((254,), (255,), (256,), (50, 127), (50, 128), (50, 129)):
    result = evaluator.evaluate(mask(*numbers), mask(*numbers))["ungrouped"]
    counts, dice = [result.tp, result.fp, result.fn], [round(float(d), 3) for d in (result.sq_dsc, result.global_bin_dsc)]
    seen[numbers] = counts + dice
    print(f"instances {numbers}: found, not there, missed {counts}, Dice of the instances and of all voxels {dice}")

one, two = [1, 0, 0, 1.0, 1.0], [2, 0, 0, 1.0, 1.0]
expected = {(254,): one, (255,): [0, 0, 1, 0.0, 0.0], (256,): one, (50, 127): two, (50, 128): one, (50, 129): two}
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
missed = evaluator.evaluate(mask(50), mask(50, 128))["ungrouped"]
if [missed.tp, missed.fn] != [1, 1]:
    raise SystemExit(f"CHANGED: a missed 128 counts as {[missed.tp, missed.fn]}")
print("HOLDS: equal masks lose instances numbered 128 and 255")
PYTHON
