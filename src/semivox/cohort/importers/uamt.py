"""UA-MT's HDF5: the left atria of the 2018 challenge as the semi-supervised literature passes them around."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort.importers.hdf5 import Hdf5Layout, no_files, read_pair, write_hdf5_cohort
from semivox.cohort.importers.lists import choose

FILE = "mri_norm2.h5"
LAYOUT = Hdf5Layout(
    name="Left atrium, LGE-MRI (UA-MT preprocessing)",
    channel="LGE-MRI",
    classes={"left_atrium": 1},
    spacing_mm=(0.625, 0.625, 0.625),
    spacing_known=True,
    note="HDF5 carries no spacing: 0.625 mm isotropic is the data set's documented one; the orientation is "
    "nominal",
)


def import_uamt_h5(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """``SRC/ID/mri_norm2.h5`` -> data folder. Axes stay as stored; a list's entry is ``ID`` or ``ID/FILE``.

    The spacing is the data set's documented 0.625 mm isotropic.
    """
    src = Path(src)
    # the published archive has one folder around the cases
    files = sorted(src.glob(f"*/{FILE}")) or sorted(src.glob(f"*/*/{FILE}"))
    if not files:
        raise no_files(src, f"ID/{FILE}")
    path_of = {path.parent.name: path for path in files}
    cases = choose(path_of, list_file, src, lambda entry: entry.removesuffix(f"/{FILE}").rstrip("/"))
    return write_hdf5_cohort(dst, LAYOUT, cases, lambda case: read_pair(path_of[case], LAYOUT.classes, 3))
