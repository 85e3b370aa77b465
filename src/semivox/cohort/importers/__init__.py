"""Importers: the layouts that the field passes around, turned into the data folder. One file a layout."""

from collections.abc import Callable, Mapping
from pathlib import Path

from semivox.cohort.importers.dicom import import_dicom
from semivox.cohort.importers.folders import import_folders
from semivox.cohort.importers.masks import import_masks
from semivox.cohort.importers.msd import import_msd
from semivox.cohort.importers.pancreas import import_pancreas_h5
from semivox.cohort.importers.ssl4mis import import_ssl4mis_h5
from semivox.cohort.importers.uamt import import_uamt_h5

LAYOUTS: Mapping[str, Callable[[Path, Path, Path | None], Path]] = {
    "uamt-h5": import_uamt_h5,
    "ssl4mis-h5": import_ssl4mis_h5,
    "pancreas-h5": import_pancreas_h5,
    "msd": import_msd,
    "folders": import_folders,
    "masks": import_masks,
    "dicom": import_dicom,
}

__all__ = [
    "LAYOUTS",
    "import_dicom",
    "import_folders",
    "import_masks",
    "import_msd",
    "import_pancreas_h5",
    "import_ssl4mis_h5",
    "import_uamt_h5",
]
