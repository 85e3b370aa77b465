"""How good pseudo-labels are, and whether agreement tells the good ones.

``python benchmarks/label_quality.py RUN DATA``: RUN, trained on few labels of DATA, whose other scans have
labels too, labels these in several ways: in one forward and in windows, with and without a mirror image. Of
each way: the mean Dice of its labels, the rank correlation of a scan's agreement (of the scan with its mirror
image) with its Dice, the Dice of the third that agrees most, and processor seconds a scan. The hidden labels
are looked at here, and nowhere in the product.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from semivox.cohort import load_cohort, read_label, split_cohort
from semivox.inference import load_model, load_networks
from semivox.methods import Relabel
from semivox.prepare import FULL, build_store
from semivox.randomness import Key
from semivox.training.labelling import label_scan

WAYS = {
    "one forward": Relabel(clean="largest", windows=False),
    "one forward, mirrored": Relabel(clean="largest", windows=False, mirrors=1),
    "windows": Relabel(clean="largest"),
    "windows, mirrored": Relabel(clean="largest", mirrors=1),
}


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean Dice over the classes of ``found`` (K-1, X, Y[, Z]) 0 or 255 with ``truth`` (X, Y[, Z])."""
    dices = []
    for k, plane in enumerate(found > FULL // 2, 1):
        total = np.count_nonzero(plane) + np.count_nonzero(truth == k)
        dices.append(2 * np.count_nonzero(plane & (truth == k)) / total if total else 1.0)
    return float(np.mean(dices))


def nearest(label: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``label`` at the middle of each working voxel."""
    places = [
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
        for n, m in zip(shape, label.shape, strict=True)
    ]
    return label[np.ix_(*places)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("data")
    parser.add_argument("--labeled", required=True, help="as the run was trained")
    parser.add_argument("--every", type=int, default=1, help="take each Nth unlabelled scan")
    a = parser.parse_args()

    model = load_model(a.run)
    networks = list(load_networks(a.run, model.card["predictor"]).values())
    cohort = load_cohort(Path(a.data), a.labeled)
    split = split_cohort(cohort, a.labeled)
    store = build_store(cohort, split, model.plan)
    cases = {case.name: case for case in cohort.cases}
    classes: Callable[[np.ndarray], np.ndarray] = np.vectorize(
        {0: 0, **{value: k for k, value in enumerate(model.values, 1)}}.get, otypes=[np.int64]
    )

    dice: dict[str, list[float]] = {way: [] for way in WAYS}
    agreed: dict[str, list[float]] = {way: [] for way in WAYS}
    seconds = dict.fromkeys(WAYS, 0.0)
    axes = model.card.get("mirror_axes", (0, 1))  # earlier versions did not say
    for index in store.unlabeled[:: a.every]:
        case = cases[store.cases[index]]
        assert case.label is not None
        image = store.case(index).image
        voxels = classes(read_label(case.label).array[0]).transpose(model.plan.axes)
        truth = nearest(voxels, image.shape[1:])
        for way, relabel in WAYS.items():
            start = time.process_time()
            label = label_scan(networks, image, model.plan, relabel, Key(0), axes)
            seconds[way] += time.process_time() - start
            dice[way].append(overlap(label.target, truth))
            agreed[way].append(label.weight)

    print(f"{len(dice['windows'])} scans, {torch.get_num_threads()} threads")
    print(f"{'':24}{'Dice':>8}{'rank':>8}{'best third':>12}{'CPU s':>8}")
    for way, found in dice.items():
        order = np.argsort([-value for value in agreed[way]], kind="stable")[: len(found) // 3]
        rank = spearmanr(agreed[way], found)[0] if WAYS[way].mirrors else float("nan")
        third = np.mean([found[i] for i in order]) if WAYS[way].mirrors else float("nan")
        print(f"{way:24}{np.mean(found):8.3f}{rank:8.2f}{third:12.3f}{seconds[way] / len(found):8.2f}")


if __name__ == "__main__":
    main()
