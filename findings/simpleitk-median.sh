#!/usr/bin/env bash
# SimpleITK's median under a mask changes with a voxel that is outside of the mask.
#
# Expected: GetMedian(label) is the median of the voxels under that label, exact as the mean beside it, and theirs alone.
# Happens:  both filters that tell a median read it off a histogram over the range of the whole image, with 256 bins in
#           LabelStatistics and 128 in LabelIntensityStatistics, and return the middle of a bin. An organ of 8000 voxels with the
#           median 50 HU, in air: if one voxel in the corner of the scan has 1500, 3071 (metal) or 30000 HU, the first tells
#           49.8, 57.5 and 29.3, the second 44.9, 65.5 and 89.8. Means and extremes are right in all of them.
# Versions: SimpleITK 2.5.7, numpy 2.4.6.
# Matters:  the median in HU or SUV under an organ is taken because outliers do not move it. Here a clip, the table or a crop
#           somewhere else in the scan does, by more than many a difference between patients that is reported.
# Instead:  numpy.median(image[mask]), or LabelIntensityStatistics with SetNumberOfBins(65536), which is right for 16 bits.
# Source:   ITK's text says that the accuracy "is limited to the bin width", not that the range is that of the image; of one filter
#           it was reported in https://github.com/InsightSoftwareConsortium/ITK/issues/2482 and mended in ITK, whose mended number
#           of bins SimpleITK replaces by its own 128.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
import numpy as np
import SimpleITK as sitk

organ = np.zeros((40, 40, 40), np.uint8)
organ[10:30, 10:30, 10:30] = 1
scan = np.full(organ.shape, -1000, np.int16)
scan[organ == 1] = np.random.default_rng(0).normal(50, 15, 8000).round()


def medians(image: np.ndarray) -> list[float]:
    """The organ's median by numpy, by both filters of SimpleITK, and by the second with enough bins; then the error of a mean."""
    pixels, labels = sitk.GetImageFromArray(image), sitk.GetImageFromArray(organ)
    by_label = sitk.LabelStatisticsImageFilter()
    by_label.Execute(pixels, labels)
    found = [float(np.median(image[organ == 1])), by_label.GetMedian(1)]
    for bins in (None, 65536):
        by_intensity = sitk.LabelIntensityStatisticsImageFilter()
        if bins is not None:
            by_intensity.SetNumberOfBins(bins)
        by_intensity.Execute(labels, pixels)
        found.append(by_intensity.GetMedian(1))
    return [round(value, 1) for value in found] + [round(abs(by_label.GetMean(1) - image[organ == 1].mean()), 6)]


seen = {}
for corner in (1500, 3071, 30000):
    scan[0, 0, 0] = corner
    seen[corner] = medians(scan)
    print("one voxel of {:5} HU far from the organ: median {}, LabelStatistics {}, LabelIntensityStatistics {}, with 65536 bins {};"
          " error of the mean {}".format(corner, *seen[corner]))  # fmt: skip

expected = {1500: [50.0, 49.8, 44.9, 50.0, 0.0], 3071: [50.0, 57.5, 65.5, 50.0, 0.0], 30000: [50.0, 29.3, 89.8, 50.0, 0.0]}
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: a voxel outside of the organ moves its median")
PYTHON
