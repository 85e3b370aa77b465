"""Are scans that look alike labelled alike: by the numbers of ``rank DATA``, or by the package's features?

``OMP_NUM_THREADS=1 python benchmarks/scans_alike.py DATA``: of each labelled scan the one of another patient
that is nearest to it, by ``rank``'s numbers, by :func:`semivox.scan_features`, and by both; and how far the
two labels are apart then (volume, place and extent of all foreground, in standard deviations over the scans),
beside pairs at random. Also the rank correlation of the two distances over all pairs. No training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import semivox
from semivox.cohort import read_case, read_volume
from semivox.ranking.features import distances, standardised
from semivox.ranking.first_scans import numbers_of, points_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    cohort = semivox.load_cohort(parser.parse_args().data)
    numbers, features, labels, patients = {}, {}, {}, {}
    for case in cohort.cases:
        if case.label is not None:
            volume = read_case(case)
            numbers[case.name] = numbers_of(volume, cohort.channels)
            features[case.name] = semivox.scan_features(volume)
            labels[case.name] = shape_of(read_volume(case.label).array[0] > 0)
            patients[case.name] = case.group
    looks, seen = points_of(numbers), standardised(features)
    kinds = {
        "numbers": looks,
        "features": seen,
        "both": {name: np.concatenate([looks[name], seen[name]]) for name in looks},
    }
    apart = table(standardised(labels))
    group = np.array([patients[name] for name in sorted(labels)])
    others = group[:, None] != group
    pairs = np.triu(others, 1)
    print(f"{len(labels)} labelled scans; labels of two at random are {apart[others].mean():.3f} apart")
    for kind, points in kinds.items():
        look = table(points)
        nearest = np.where(others, look, np.inf).argmin(1)
        rho = float(spearmanr(look[pairs], apart[pairs])[0])
        of_nearest = apart[np.arange(len(apart)), nearest].mean()
        print(f"{kind:9}  of the nearest two {of_nearest:.3f}, rank correlation over all pairs {rho:+.3f}")


def shape_of(foreground: np.ndarray) -> np.ndarray:
    """(X, Y, Z) bool -> volume, centre and extent as parts of the scan; volume and extent as logarithms."""
    where, size = np.argwhere(foreground), np.array(foreground.shape)
    return np.concatenate([[np.log(foreground.mean())], where.mean(0) / size, np.log(where.std(0) / size)])


def table(points: Mapping[str, np.ndarray]) -> np.ndarray:
    """(scans, scans) distances, in the order of their names."""
    rows = np.stack([points[name] for name in sorted(points)])
    return np.stack([distances(rows, row) for row in rows])


if __name__ == "__main__":
    main()
