"""The formats that semivox reads and writes, a row each; all that depends on a format is derived from here.

A format's module has four functions, which :class:`Codec` describes. It is imported on first use: whoever
only asks for names does not load the decoders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import numpy as np

    from semivox.cohort.geometry import Geometry
    from semivox.cohort.segments import Segment
    from semivox.cohort.volume import Volume


class Codec(Protocol):
    """What the module of a format has. An exception of any kind means: broken, or of another format."""

    def read(self, path: Path, label: bool = False) -> Volume:
        """The voxels, ``(C, X, Y[, Z])``, with affine and what is known of the spacing; a ``label`` is read
        as label values where the format could also mean colours."""

    def geometry(self, path: Path, label: bool = False) -> Geometry:
        """What :meth:`read` would give, from the header alone."""

    def read_note(self, path: Path) -> str:
        """The free text of the header; "" where there is none."""

    def holds(self, array: np.ndarray) -> bool:
        """Whether the format can store ``(C, X, Y[, Z])`` of this shape and type."""

    def write(self, path: Path, array: np.ndarray, like: Volume, note: str = "") -> None:
        """Write ``(C, X, Y[, Z])``, which the format holds, on the grid of ``like``, with a short ``note``
        in the header."""


class LabelCodec(Codec, Protocol):
    """What the module of a format of labels with names has; it writes by the last alone."""

    def read_segments(self, path: Path) -> tuple[Segment, ...]:
        """The names that the header gives to label values."""

    def read_planes(self, path: Path) -> tuple[Sequence[Segment], Volume]:
        """The segments, and where each of them lies in a boolean channel of its own; they may overlap."""

    def write_segments(
        self, path: Path, array: np.ndarray, like: Volume, segments: Sequence[Segment], note: str = ""
    ) -> None:
        """Write label values ``(1, X, Y[, Z])`` that ``segments`` names, otherwise as ``write``; segments
        that are regions may overlap."""


class PaletteCodec(Codec, Protocol):
    """What the module of a format has whose samples may be indices of colours."""

    def read_palette(self, path: Path) -> np.ndarray | None:
        """The colours of the indices, (n, 3) of uint8, from the header; None where samples are no indices."""


@dataclass(frozen=True)
class Format:
    """One row.

    Parameters
    ----------
    name
        The format's short name; ``Source.format`` of a volume read from it.
    title
        Its name for people.
    endings
        Of its files, with the dot, lower case. Where one ends in another, the longer one counts.
    module
        The module of this package that reads and writes it (a :class:`Codec`).
    dims, spacing, channels
        What it carries, in words for the documentation: dimensions, where spacing and place stand, and what
        becomes a channel.
    tried
        Whose files the tests read, in words.
    choices
        What ``--format`` calls it; empty: written only where the scan itself was of this format.
    detached
        Endings of headers whose voxels lie in a second file -> the ending that is written in their place:
        two files cannot be replaced in one step.
    instead
        The format that takes an array this one cannot hold.
    colours
        Whether three channels are red, green and blue.
    palettes
        Whether its samples may be indices of colours (a :class:`PaletteCodec`).
    names
        Whether it holds labels alone, with their names (a :class:`LabelCodec`): never taken for a scan.
    written
        Whether it is written at all; else ``instead`` is.
    read
        Whether it is read at all; else refused by name.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    module: str
    dims: str
    spacing: str
    channels: str
    tried: str = ""
    choices: tuple[str, ...] = ()
    detached: Mapping[str, str] = field(default_factory=dict)
    instead: str | None = None
    colours: bool = False
    palettes: bool = False
    names: bool = False
    written: bool = True
    read: bool = True

    @property
    def codec(self) -> Codec:
        """The module, imported now."""
        return _codec(self.module)

    @property
    def label_codec(self) -> LabelCodec | None:
        """The module of a format of labels with names, imported now; None for other formats."""
        return cast("LabelCodec", _codec(self.module)) if self.names else None

    @property
    def palette_codec(self) -> PaletteCodec | None:
        """The module of a format that may have palettes, imported now; None for other formats."""
        return cast("PaletteCodec", _codec(self.module)) if self.palettes else None


FORMATS = (
    Format(
        name="nifti",
        title="NIfTI-1 and NIfTI-2",
        endings=(".nii.gz", ".nii", ".hdr"),
        module="nifti",
        tried="nibabel, SimpleITK, dcm2niix",
        dims="2D, 3D",
        spacing="affine (sform, else qform, else pixdim) in the unit of `xyzt_units`; no unit means mm. "
        "Unknown where neither unit nor affine is filled in and every edge is 1 or 0. Whether a file is "
        "compressed its first bytes decide. `.hdr` is read with the `.img` or `.img.gz` beside it; one of "
        "Analyze 7.5, which does not tell the way of its axes, is refused",
        channels="the fourth axis, or the fifth (vectors)",
        choices=("nii.gz",),
        detached={".hdr": ".nii.gz"},
    ),
    Format(
        name="nrrd",
        title="NRRD",
        endings=(".nrrd", ".nhdr"),
        module="itk",
        tried="SimpleITK, pynrrd",
        dims="2D, 3D",
        spacing="`space directions` or `spacings` in the unit of `space units` or `units`; no unit means mm. "
        "Unknown without them; nominal in a unit that is no length. A 2D slice of another plane than "
        "z = 0 is written as a volume of one slice",
        channels="vector components, or the fourth axis",
        choices=("nrrd",),
        detached={".nhdr": ".nrrd"},
    ),
    Format(
        name="seg-nrrd",
        title="3D Slicer's segmentation",
        endings=(".seg.nrrd",),
        module="slicer_segments",
        tried="pynrrd, with the fields that 3D Slicer writes",
        dims="2D, 3D",
        spacing="as NRRD",
        channels="a label, never a scan: names, colours and values of `SegmentN_Name`, `_Color` and "
        "`_LabelValue`. Segments in several layers (`_Layer`) are laid together where no two of them overlap "
        "or share a value; others are read where `dataset.json` has regions of their names, else refused",
        choices=("seg.nrrd",),
        instead="nrrd",
        names=True,
    ),
    Format(
        name="mha",
        title="MetaImage",
        endings=(".mha", ".mhd"),
        module="itk",
        tried="SimpleITK",
        dims="2D, 3D",
        spacing="`ElementSpacing` in the unit of `DistanceUnits`; no unit means mm. Unknown without it. "
        "2D slices as in NRRD",
        channels="vector components, or the fourth axis",
        choices=("mha",),
        detached={".mhd": ".mha"},
    ),
    Format(
        name="mgh",
        title="FreeSurfer's MGH",
        endings=(".mgz", ".mgh"),
        module="mgh",
        tried="nibabel",
        dims="3D",
        spacing="the header's directions and voxel sizes, in mm; without them (`goodRASFlag` 0) refused",
        channels="the frames",
        written=False,
        instead="nifti",
    ),
    Format(
        name="dicom",
        title="DICOM series",
        endings=(".dcm", ".zip"),
        module="dicom.volume",
        tried="scanners (those that pydicom brings along), pydicom; beside dcm2niix and SimpleITK",
        dims="3D",
        spacing="position and direction of each plane, in mm. Planes are sorted along their normal; missing, "
        "uneven, doubled or turned ones are refused, a tilted gantry is told. A folder or a zip holds one "
        "series, single- or multi-frame, native or compressed; files need no ending",
        channels="one: stored numbers by each plane's slope and intercept",
        written=False,
        instead="nifti",
    ),
    Format(
        name="dicom-seg",
        title="DICOM segmentation",
        endings=(".seg.dcm",),
        module="dicom.segmentation",
        tried="highdicom; ours in pydicom, highdicom, SimpleITK, dciodvfy",
        dims="3D",
        spacing="position and direction of each frame, in mm; planes left out as empty are background",
        channels="a label, never a scan: names, colours and codes of the segments. Written (binary) for "
        "scans that were read from DICOM. Overlapping segments are read where `dataset.json` has regions "
        "of their names, else refused; fractional ones are refused",
        choices=("dicom-seg",),
        instead="nifti",
        names=True,
    ),
    Format(
        name="rtstruct",
        title="DICOM structure set (RTSTRUCT)",
        endings=(".rtstruct.dcm",),
        module="dicom.structures",
        tried="ours in pydicom with matplotlib, dciodvfy",
        dims="3D",
        spacing="points in mm, in the planes of the scan's images",
        channels="written alone, for scans that were read from DICOM: a closed contour along the edges of "
        "the voxels of each piece in a plane, holes by keyholes; names, colours and codes of the classes. "
        "Contours have no voxels, so none is read",
        choices=("rtstruct",),
        instead="nifti",
        names=True,
        read=False,
    ),
    Format(
        name="png",
        title="PNG",
        endings=(".png",),
        module="png",
        tried="Pillow",
        dims="2D",
        spacing="none: unknown",
        channels="red, green, blue; alpha is dropped; a palette gives colours, in a label its indices, which "
        "must mean the same colours in all labels of a folder. "
        "Numbers are those stored, of 1 to 16 bits; several pictures (animation) are refused",
        instead="tiff",
        colours=True,
        palettes=True,
    ),
    Format(
        name="jpeg",
        title="JPEG",
        endings=(".jpg", ".jpeg"),
        module="jpeg",
        tried="Pillow",
        dims="2D",
        spacing="none: unknown",
        channels="grey, or red, green, blue, of 8 bits. As images only: a label is refused, for JPEG changes "
        "numbers; so is a picture that Exif says to turn",
        written=False,
        instead="png",
        colours=True,
    ),
    Format(
        name="tiff",
        title="TIFF, also OME's",
        endings=(".tiff", ".tif", ".ome.tiff", ".ome.tif"),
        module="tiff",
        tried="tifffile (plain, ImageJ, OME), Pillow",
        dims="2D, 3D (a stack of pages)",
        spacing="OME's `PhysicalSizeX`, `Y`, `Z`, else ImageJ's `unit` and `spacing`, else resolution per "
        "inch or centimetre (2D only), except 1, 72 dpi and 96 dpi, which programs write unasked. Nominal "
        "where only a ratio is told; else unknown. Place and direction are not kept",
        channels="an axis C, or the samples of a pixel but for alpha (ExtraSamples 1 or 2). Numbers are "
        "those stored, whether white is 0 or not, and of a palette the indices (labels as in PNG); a label "
        "with a compression that may change it (JPEG) is refused, and so are colours that are no RGB, and "
        "pictures of unlike size",
        colours=True,
        palettes=True,
    ),
)
BY_NAME = {row.name: row for row in FORMATS}
ENDINGS = dict(
    sorted(((ending, row) for row in FORMATS for ending in row.endings), key=lambda found: -len(found[0]))
)
"""Ending -> its format; the longer ones first, for ``.seg.nrrd`` is no ``.nrrd``."""
DETACHED = {header: one for row in FORMATS for header, one in row.detached.items()}
"""Endings of headers whose voxels lie in a second file -> what is written in their place."""
CHOICES = {
    choice: f".{choice}" if f".{choice}" in row.endings else row.endings[0]
    for row in FORMATS
    for choice in row.choices
}
"""What ``--format`` takes -> the ending of what is written."""
WRITABLE = ("same", *CHOICES)


@lru_cache(2**16)
def ending_in(name: str) -> str | None:
    """The ending of a file's name that is read, in lower case; None where it has none."""
    name = name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def mask_ending(ending: str | None) -> str:
    """Of the mask of a scan with this ending (None: a folder of DICOM) in the format of its scan."""
    row = ENDINGS[(ending or ".dcm").lower()]
    if row.written:
        return DETACHED.get(ending or "", ending or "")
    return BY_NAME[str(row.instead)].endings[0]


@cache
def _codec(module: str) -> Codec:
    return import_module(f"semivox.cohort.{module}")
