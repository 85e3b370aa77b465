"""Signed distance maps of a batch of crops: ours against the published loop over samples.

``python benchmarks/distance.py DATA``: crops of the first labelled cases, around their foreground, at the
sizes that papers train on (112 x 112 x 80) and that a small plan takes (64 x 64 x 48). In alternating turns:
the published loop, ours in the same form (``crop_minmax``), and ours in the form that methods ask for by
default (clipped at 8 voxels, with a margin of 8 so that the crop's edge cuts nothing off). The ratios of the
medians are the claim. Without DATA the masks are invented blobs. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from literal.distance import compute_sdf
from semivox.batches.affine import AffineParameters
from semivox.batches.distances import FULL, distance_targets
from semivox.batches.geometry import CropGeometry, cut
from semivox.cohort import load_cohort, read_label

SIZES = ((112, 112, 80), (64, 64, 48))


def scans(data: str | None, count: int) -> list[np.ndarray]:
    """(1, X, Y, Z) uint8 labels as the store keeps them: 255 inside."""
    if data is None:
        rng = np.random.default_rng(0)
        smooth = [ndimage.gaussian_filter(rng.standard_normal((160, 140, 90)), 12) for _ in range(count)]
        masks = [s > np.quantile(s, 0.85) for s in smooth]
    else:
        labels = [case.label for case in load_cohort(Path(data)).cases if case.label is not None]
        masks = [read_label(label).array[0] > 0 for label in labels[:count]]
    return [np.where(mask, FULL, 0).astype(np.uint8)[None] for mask in masks]


def placed(label: np.ndarray, patch: tuple[int, ...]) -> CropGeometry:
    """A crop around the middle of the foreground, neither turned nor bent."""
    centre = np.argwhere(label[0]).mean(axis=0)
    start = [
        int(min(max(0, c - p / 2), max(0, n - p)))
        for c, p, n in zip(centre, patch, label.shape[1:], strict=True)
    ]
    return CropGeometry(tuple(start), patch, (1.0, 1.0, 1.0), AffineParameters.identity(3))


def timed(maker: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    maps = maker()
    return time.perf_counter() - began, maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", help="data folder with labelled 3D scans")
    parser.add_argument("--crops", type=int, default=4, help="a batch")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    labels = scans(a.data, a.crops)
    result: dict[str, object] = {"crops": len(labels), "threads": a.threads, "data": a.data}
    for patch in SIZES:
        geometries = [placed(label, patch) for label in labels]
        # what the published code is given: the labels of the crops
        batch = np.stack(
            [cut([x], g)[0].numpy()[0] > FULL / 2 for x, g in zip(labels, geometries, strict=True)]
        ).astype(np.int64)

        def ours(form: str, geometries: list[CropGeometry] = geometries) -> np.ndarray:
            pairs = zip(labels, geometries, strict=True)
            return np.stack([distance_targets(x, g, 8.0, form)[0] for x, g in pairs])

        laps: dict[str, list[float]] = {"ours": [], "literal": [], "clipped": []}
        for turn in range(a.turns + 1):  # the first warms up
            found = {
                "ours": timed(lambda: ours("crop_minmax")),
                "literal": timed(lambda batch=batch: compute_sdf(batch)),
                "clipped": timed(lambda: ours("euclidean")),
            }
            for name, (seconds, _) in found.items():
                if turn:
                    laps[name].append(seconds)
        median = {name: statistics.median(seconds) for name, seconds in laps.items()}
        differs = float(np.abs(found["ours"][1] - found["literal"][1]).max())
        name = "x".join(map(str, patch))
        result[name] = {
            "ours_s": median["ours"], "literal_s": median["literal"],
            "speedup": median["literal"] / median["ours"], "difference": differs,
            "clipped_s": median["clipped"], "clipped_speedup": median["literal"] / median["clipped"],
            "inside": float(batch.mean()),
        }  # fmt: skip
        print(
            f"{len(labels)} crops of {name}: published loop {median['literal'] * 1e3:.0f} ms, "
            f"ours {median['ours'] * 1e3:.0f} ms ({median['literal'] / median['ours']:.1f} x as fast, "
            f"differs by {differs:.1e}), clipped at 8 voxels {median['clipped'] * 1e3:.0f} ms "
            f"({median['literal'] / median['clipped']:.1f} x)"
        )
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
