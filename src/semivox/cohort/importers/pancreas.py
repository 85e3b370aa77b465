"""NIH Pancreas-CT as HDF5, in both namings: MC-Net's ``ID_norm.h5`` and BCP's ``ID.h5``."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort.importers.hdf5 import Hdf5Layout, no_files, read_pair, write_hdf5_cohort
from semivox.cohort.importers.lists import choose
from semivox.errors import DataError

LAYOUT = Hdf5Layout(
    name="Pancreas-CT (HDF5 of the semi-supervised literature)",
    channel="CT",
    classes={"pancreas": 1},
    spacing_mm=(1.0, 1.0, 1.0),
    spacing_known=False,
    note="HDF5 carries no spacing: 1 mm isotropic is nominal, and so is the orientation",
)


def import_pancreas_h5(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """``SRC/ID_norm.h5`` or ``SRC/ID.h5`` -> data folder; the case is ``ID`` in both. Axes stay as stored."""
    src = Path(src)
    path_of: dict[str, Path] = {}
    for path in sorted(src.glob("*.h5")):
        case = _case_of(path.name)
        if case in path_of:
            raise DataError(
                f"two files for the case {case}",
                path=src,
                found=f"{path_of[case].name} and {path.name}",
                remedy="keep one of the two namings",
            )
        path_of[case] = path
    if not path_of:
        raise no_files(src, "ID_norm.h5 or ID.h5")
    cases = choose(path_of, list_file, src, _case_of)
    return write_hdf5_cohort(dst, LAYOUT, cases, lambda case: read_pair(path_of[case], LAYOUT.classes, 3))


def _case_of(entry: str) -> str:
    return entry.removesuffix(".h5").removesuffix("_norm")
