"""SSL4MIS's ACDC in HDF5: volumes ``data/FRAME.h5``, training slices ``data/slices/FRAME_slice_N.h5``."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from semivox.cohort.importers.hdf5 import Hdf5Layout, Pair, no_files, read_pair, write_hdf5_cohort
from semivox.cohort.importers.lists import choose
from semivox.errors import DataError

LAYOUT = Hdf5Layout(
    name="ACDC cine cardiac MRI (SSL4MIS preprocessing)",
    channel="cine-MRI",
    classes={"right_ventricle": 1, "myocardium": 2, "left_ventricle": 3},
    spacing_mm=(1.5, 1.5, 10.0),
    spacing_known=False,
    note="HDF5 carries no spacing: 1.5 x 1.5 x 10 mm is nominal, and so is the orientation; two frames a "
    "patient, so split by patient",
)
SLICE = re.compile(r"(?P<frame>.+)_slice_(?P<number>\d+)")


def import_ssl4mis_h5(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """SSL4MIS's ACDC folder (or its ``data/``) -> data folder with a case a frame.

    A frame's volume is taken where there is one (stored slices first, ``(Z, H, W)``); else it is stacked
    from its slices in the order of their numbers. The slice axis is put last: ``(H, W, Z)``. Patient of
    ``patient099_frame01`` is ``patient099``. A list may name frames or slices; slices stand for their frame
    and must all be there.
    """
    src = Path(src)
    data = src / "data" if (src / "data").is_dir() else src
    volumes = {path.stem: path for path in data.glob("*.h5") if not SLICE.fullmatch(path.stem)}
    slices: dict[str, dict[int, Path]] = {}
    for path in sorted([*data.glob("slices/*.h5"), *data.glob("*_slice_*.h5")]):
        if match := SLICE.fullmatch(path.stem):
            slices.setdefault(match["frame"], {})[int(match["number"])] = path
    if not volumes and not slices:
        raise no_files(src, "data/FRAME.h5 or data/slices/FRAME_slice_N.h5")

    if list_file is None:
        cases = choose(volumes | slices, None, src)
    else:
        cases = _frames(list_file, src, volumes, slices)

    def read(case: str) -> Pair:
        if case in volumes:
            image, label = read_pair(volumes[case], LAYOUT.classes, 3)
            return np.moveaxis(image, 0, -1), np.moveaxis(label, 0, -1)
        return _stack(case, slices[case])

    return write_hdf5_cohort(dst, LAYOUT, cases, read, _patient_of)


def _frames(
    list_file: Path, src: Path, volumes: dict[str, Path], slices: dict[str, dict[int, Path]]
) -> list[str]:
    """The frames that a list names, in order of first mention."""
    names = [path.stem for numbered in slices.values() for path in numbered.values()]
    listed = choose([*volumes, *slices, *names], list_file, src, lambda entry: entry.removesuffix(".h5"))
    named = [match["frame"] for name in listed if (match := SLICE.fullmatch(name))]
    for frame, count in Counter(named).items():
        if frame not in volumes and count < len(slices[frame]) and frame not in listed:
            raise DataError(
                f"the list names only some slices of {frame}, and a volume has no holes",
                path=list_file,
                found=f"{count} slices",
                expected=f"all {len(slices[frame])}, or the name {frame}",
                remedy="list the frame; unlabelled slices are not a layout we know",
            )
    return list(
        dict.fromkeys(match["frame"] if (match := SLICE.fullmatch(name)) else name for name in listed)
    )


def _stack(frame: str, slices: dict[int, Path]) -> Pair:
    """Slices (H, W) of one frame in the order of their numbers -> (H, W, Z)."""
    numbers = sorted(slices)
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing:
        raise DataError(
            f"slices of {frame} are missing",
            path=slices[numbers[0]].parent,
            found=f"numbers {numbers[0]} to {numbers[-1]} without {', '.join(map(str, missing))}",
            remedy="copy the folder again, or leave the frame out with --list",
        )
    pairs = [read_pair(slices[number], LAYOUT.classes, 2) for number in numbers]
    shapes = {image.shape for image, _ in pairs}
    if len(shapes) > 1:
        raise DataError(
            f"the slices of {frame} differ in size",
            path=slices[numbers[0]].parent,
            found=", ".join(map(str, sorted(shapes))),
            expected="one size in a frame",
            remedy="leave the frame out with --list",
        )
    return np.stack([image for image, _ in pairs], -1), np.stack([label for _, label in pairs], -1)


def _patient_of(frame: str) -> str:
    return frame.split("_frame")[0]
