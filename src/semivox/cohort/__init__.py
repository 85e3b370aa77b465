"""Cases and their volumes: reading and writing scans, data folders, splits, and the check before any work.

Names are imported on first use: whoever only needs :class:`Volume` does not load the decoders.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semivox.cohort.case import Case, Cohort, Split
    from semivox.cohort.check import check_cohort
    from semivox.cohort.check_report import CheckReport, Finding
    from semivox.cohort.folder import load_cohort
    from semivox.cohort.formats import (
        read_case,
        read_geometry,
        read_label,
        read_volume,
        write_mask,
        write_volume,
    )
    from semivox.cohort.geometry import Geometry
    from semivox.cohort.hashing import sha256_file
    from semivox.cohort.importers import (
        import_folders,
        import_msd,
        import_pancreas_h5,
        import_ssl4mis_h5,
        import_uamt_h5,
    )
    from semivox.cohort.orientation import Orientation, orientation_of
    from semivox.cohort.phantom import make_phantom, write_phantom_cohort
    from semivox.cohort.split import split_cohort
    from semivox.cohort.volume import Source, Volume

_HOME = {
    "Case": "case",
    "CheckReport": "check_report",
    "Cohort": "case",
    "Finding": "check_report",
    "Geometry": "geometry",
    "Orientation": "orientation",
    "Source": "volume",
    "Split": "case",
    "Volume": "volume",
    "check_cohort": "check",
    "import_folders": "importers",
    "import_msd": "importers",
    "import_pancreas_h5": "importers",
    "import_ssl4mis_h5": "importers",
    "import_uamt_h5": "importers",
    "load_cohort": "folder",
    "make_phantom": "phantom",
    "orientation_of": "orientation",
    "read_case": "formats",
    "read_geometry": "formats",
    "read_label": "formats",
    "read_volume": "formats",
    "sha256_file": "hashing",
    "split_cohort": "split",
    "write_mask": "formats",
    "write_phantom_cohort": "phantom",
    "write_volume": "formats",
}

__all__ = [
    "Case",
    "CheckReport",
    "Cohort",
    "Finding",
    "Geometry",
    "Orientation",
    "Source",
    "Split",
    "Volume",
    "check_cohort",
    "import_folders",
    "import_msd",
    "import_pancreas_h5",
    "import_ssl4mis_h5",
    "import_uamt_h5",
    "load_cohort",
    "make_phantom",
    "orientation_of",
    "read_case",
    "read_geometry",
    "read_label",
    "read_volume",
    "sha256_file",
    "split_cohort",
    "write_mask",
    "write_phantom_cohort",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
