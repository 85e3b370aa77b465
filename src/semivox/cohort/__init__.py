"""Cases and their volumes: reading and writing scans, data folders, splits, and the check before any work.

Names are imported on first use: whoever only needs :class:`Volume` does not load the decoders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox.cohort.case import Case, Cohort, Naming, Split, is_ct, is_no_ct
    from semivox.cohort.cases_csv import in_order, read_cases_csv, set_cells
    from semivox.cohort.check import Progress, check_cohort
    from semivox.cohort.check_report import CheckReport, Finding
    from semivox.cohort.claims import check_memory
    from semivox.cohort.dataset_json import Declared, label_entries, read_dataset_json, without_class
    from semivox.cohort.dicom.objects import differing_objects, identity_of_object
    from semivox.cohort.fits import (
        Task,
        channels_differ,
        classes_differ,
        refuse_other_task,
        with_classes_of,
    )
    from semivox.cohort.folder import load_cohort
    from semivox.cohort.format_table import CHOICES, DETACHED, ENDINGS, mask_ending
    from semivox.cohort.formats import (
        ending_of,
        is_dicom,
        is_scan,
        is_there,
        mask_place,
        read_case,
        read_geometry,
        read_label,
        read_segments,
        read_volume,
        scan_ending,
        size_of,
        stem_of,
        write_mask,
        write_volume,
    )
    from semivox.cohort.geometry import Geometry, Positioned, cohort_spacing, grid_difference, is_sheared
    from semivox.cohort.grid_mismatch import grid_error
    from semivox.cohort.hashing import sha256_file
    from semivox.cohort.identity import (
        case_identity,
        files_sha256,
        is_recorded,
        label_sha256,
        quick_sha256,
    )
    from semivox.cohort.importers import (
        import_dicom,
        import_folders,
        import_masks,
        import_msd,
        import_pancreas_h5,
        import_ssl4mis_h5,
        import_uamt_h5,
    )
    from semivox.cohort.label_places import label_place, labels_wanted
    from semivox.cohort.labeled_set import LabeledSet
    from semivox.cohort.mask_names import mask_name
    from semivox.cohort.orientation import Orientation, orientation_of, slice_axis
    from semivox.cohort.palettes import refuse_other_palettes
    from semivox.cohort.phantom import make_phantom, write_phantom_cohort
    from semivox.cohort.prediction_mark import is_somebodys, mark_of, undrawn
    from semivox.cohort.regions import Region, Regions, inside, within
    from semivox.cohort.scans import Scans, find_scans, find_series
    from semivox.cohort.segments import Segment, named_by_segments, segments_of_classes
    from semivox.cohort.split import COUNT, split_cohort
    from semivox.cohort.unused import labels_left_out
    from semivox.cohort.unusual_grids import too_far, too_large
    from semivox.cohort.volume import Source, Volume, edges_of, refuse_not_finite

__all__ = [
    "CHOICES",
    "COUNT",
    "DETACHED",
    "ENDINGS",
    "Case",
    "CheckReport",
    "Cohort",
    "Declared",
    "Finding",
    "Geometry",
    "LabeledSet",
    "Naming",
    "Orientation",
    "Positioned",
    "Progress",
    "Region",
    "Regions",
    "Scans",
    "Segment",
    "Source",
    "Split",
    "Task",
    "Volume",
    "case_identity",
    "channels_differ",
    "check_cohort",
    "check_memory",
    "classes_differ",
    "cohort_spacing",
    "differing_objects",
    "edges_of",
    "ending_of",
    "files_sha256",
    "find_scans",
    "find_series",
    "grid_difference",
    "grid_error",
    "identity_of_object",
    "import_dicom",
    "import_folders",
    "import_masks",
    "import_msd",
    "import_pancreas_h5",
    "import_ssl4mis_h5",
    "import_uamt_h5",
    "in_order",
    "inside",
    "is_ct",
    "is_dicom",
    "is_no_ct",
    "is_recorded",
    "is_scan",
    "is_sheared",
    "is_somebodys",
    "is_there",
    "label_entries",
    "label_place",
    "label_sha256",
    "labels_left_out",
    "labels_wanted",
    "load_cohort",
    "make_phantom",
    "mark_of",
    "mask_ending",
    "mask_name",
    "mask_place",
    "named_by_segments",
    "orientation_of",
    "quick_sha256",
    "read_case",
    "read_cases_csv",
    "read_dataset_json",
    "read_geometry",
    "read_label",
    "read_segments",
    "read_volume",
    "refuse_not_finite",
    "refuse_other_palettes",
    "refuse_other_task",
    "scan_ending",
    "segments_of_classes",
    "set_cells",
    "sha256_file",
    "size_of",
    "slice_axis",
    "split_cohort",
    "stem_of",
    "too_far",
    "too_large",
    "undrawn",
    "with_classes_of",
    "within",
    "without_class",
    "write_mask",
    "write_phantom_cohort",
    "write_volume",
]

__getattr__, __dir__ = attach(__name__)
