"""``semivox.pretraining`` as a command: a data folder of scans that are made up from end to end.

    OMP_NUM_THREADS=1 python benchmarks/generated_scans.py OUT --scans 1000 --shape 64 64 48 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/generated_scans.py OUT --scans 1000 --shape 56 56 8 \\
        --spacing 1.5 1.5 6.7 --seed 0 --workers 2 --pictures look.png

``--pictures``: a sheet with the middle slices of the first twelve above their labels.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from semivox.errors import SemivoxError
from semivox.files import replacing
from semivox.pretraining import KINDS, Recipe, make_scan, write_scans

SHOWN = 12


def draw_pictures(path: Path, recipe: Recipe, scans: int) -> None:
    """The middle slices of the first scans above their labels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = ["black", *pyplot.get_cmap("Set1").colors[: len(KINDS)]]
    shown = min(scans, SHOWN)
    columns = min(shown, 6)
    rows = -(-shown // columns)
    figure, axes = pyplot.subplots(2 * rows, columns, figsize=(2.2 * columns, 4.4 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for number in range(shown):
        scan, (row, column) = make_scan(recipe, number), divmod(number, columns)
        image, label = np.moveaxis(scan.image, 0, -1), scan.label
        if label.ndim == 3:
            image, label = image[:, :, label.shape[2] // 2], label[:, :, label.shape[2] // 2]
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        above.imshow(
            np.swapaxes(image if image.shape[-1] == 3 else image[..., 0], 0, 1), "gray", vmin=0, vmax=1
        )
        below.imshow(label.T, ListedColormap(colours), vmin=0, vmax=len(KINDS), interpolation="nearest")
    patches = [Patch(color=colour, label=kind) for kind, colour in zip(KINDS, colours[1:], strict=True)]
    figure.legend(handles=patches, loc="lower center", ncols=len(KINDS), frameon=False)
    figure.subplots_adjust(0.01, 0.05, 0.99, 0.99, 0.03, 0.03)
    with replacing(path) as made:
        figure.savefig(made, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="a new or an empty folder")
    parser.add_argument("--scans", type=int, required=True)
    parser.add_argument("--shape", type=int, nargs="+", required=True, help="2 or 3 numbers of voxels")
    parser.add_argument("--spacing", type=float, nargs="+", help="as many voxel edges, in mm")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pictures", type=Path, help="a PNG to draw some of them into")
    given = parser.parse_args()
    spacing = None if given.spacing is None else tuple(given.spacing)
    recipe = Recipe(given.seed, tuple(given.shape), spacing, given.channels)
    began = time.perf_counter()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers
    try:
        seconds = write_scans(given.out, recipe, given.scans, given.workers)
    except SemivoxError as error:
        raise SystemExit(str(error)) from None
    print(
        f"{given.scans} scans in {time.perf_counter() - began:.1f} s; "
        f"{60 * given.scans / seconds:.0f} a minute of a processor"
    )
    if given.pictures is not None:
        draw_pictures(given.pictures, recipe, given.scans)


if __name__ == "__main__":
    main()
