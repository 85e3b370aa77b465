"""Images whose intensities are far from those of the rest of the cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semivox.errors import DataError
from semivox.numerals import show_number

FEWEST_CASES = 8  # fewer do not say what is usual
FAR = 6.0  # interquartile ranges beyond the quartiles; a Gaussian never gets there


@dataclass(frozen=True)
class Intensity:
    """Mean and standard deviation of each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(array: np.ndarray) -> Intensity:
        """Of a finite array ``(C, ...)``."""
        flat = array.reshape(array.shape[0], -1)
        mean = flat.mean(axis=1, dtype=np.float64)
        apart = flat - mean[:, None]  # numpy's std would take the mean again
        std = np.sqrt(np.square(apart, out=apart).mean(axis=1))
        return Intensity(tuple(mean.tolist()), tuple(std.tolist()))


def unusual_intensities(
    cases: Mapping[str, Intensity], paths: Mapping[str, Path], channels: Sequence[str]
) -> Iterator[tuple[str, DataError]]:
    """Constant channels, and channels whose mean or spread lies far outside the cohort's quartiles."""
    for number, channel in enumerate(channels):
        constant = {name for name, intensity in cases.items() if intensity.std[number] == 0}
        for name in constant:
            yield (
                name,
                DataError(
                    "unusual intensities: the image is constant",
                    path=paths[name],
                    found=f"every voxel of channel {channel} is {cases[name].mean[number]:g}",
                    remedy="look at the file; leave it out if it is empty (use=no in cases.csv)",
                ),
            )
        usual = [name for name in cases if name not in constant]
        if len(usual) < FEWEST_CASES:
            continue
        ranges = {q: _range(np.array([getattr(cases[n], q)[number] for n in usual])) for q in ("mean", "std")}
        ranges["std"] = (max(0.0, ranges["std"][0]), ranges["std"][1])
        for name in usual:
            values = {q: getattr(cases[name], q)[number] for q in ranges}
            far = [q for q, (low, high) in ranges.items() if not low <= values[q] <= high]
            if far:
                yield (
                    name,
                    DataError(
                        "unusual intensities",
                        path=paths[name],
                        found=f"channel {channel}: "
                        + ", ".join(f"{q} {show_number(values[q], 4)}" for q in far),
                        expected=", ".join(f"{q} {_shown(ranges[q])}" for q in far) + " as in other cases",
                        remedy="look at the file: another unit, sequence or a broken export?",
                    ),
                )


def _range(values: np.ndarray) -> tuple[float, float]:
    quarter, middle, three = np.quantile(values, [0.25, 0.5, 0.75])
    # never narrower than a tenth of the median: cohorts of nearly equal scans are not to be full of warnings
    width = max(three - quarter, 0.1 * abs(middle), 1e-12)
    return float(quarter - FAR * width), float(three + FAR * width)


def _shown(ends: tuple[float, float]) -> str:
    return " to ".join(show_number(end, 4) for end in ends)
