"""Synthetic heart scans for the demo and the tests: an atrium with its veins among look-alikes.

The anatomy is drawn in patient space (mm, RAS+) as signed distances and sampled through each case's own
affine, so spacing, oblique cuts and flipped or permuted axes are those of a real file. What bears the label
and what does not share one blood intensity: only shape and place tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from semivox.cohort.formats import write_mask, write_volume
from semivox.cohort.new_folder import new_folder, write_tables
from semivox.cohort.phantom_anatomy import CLASSES, draw_anatomy
from semivox.cohort.volume import Source, Volume
from semivox.errors import SettingsError
from semivox.randomness import Key

FIELD_OF_VIEW_MM = (104.0, 104.0, 100.0)  # along right, anterior, superior
VOXELS = {2: (96, 96), 3: (64, 64, 40)}


def make_phantom(
    key: Key, dims: int = 3, classes: int = 1, shape: Sequence[int] | None = None
) -> tuple[Volume, Volume]:
    """One synthetic scan and its label, a pure function of ``key``.

    Parameters
    ----------
    dims
        3, or 2 for an axial slice through the atrium.
    classes
        How many structures are labelled, 1 to 4: atrium, ventricle, its wall, aorta. All are always in the
        image.
    shape
        Voxels along each axis of the file; the field of view stays, so fewer voxels are coarser ones.
        By default about 64 x 64 x 40 (in patient axes; 96 x 96 in 2D), a little different in each case.

    Returns
    -------
    image, label
        ``(1, X, Y[, Z])``: int16 (3D) or uint8 (2D) intensities in arbitrary units; uint8 label values
        0 .. ``classes``. Both have the same affine.
    """
    if dims not in VOXELS:
        raise SettingsError("a phantom is 2D or 3D", found=dims, expected="dims=2 or dims=3")
    if not 1 <= classes <= len(CLASSES):
        raise SettingsError("no such number of classes", found=classes, expected=f"1 to {len(CLASSES)}")
    if shape is not None and (len(shape) != dims or min(shape) < 1):
        raise SettingsError(
            "the shape does not fit dims", found=tuple(shape), expected=f"{dims} sizes above 0"
        )
    grid = _draw_grid(key / "grid", dims, shape)
    anatomy = draw_anatomy(key / "anatomy", grid.points(), float(np.mean(grid.spacing)))
    label = np.where(anatomy.label <= classes, anatomy.label, 0).astype(np.uint8)
    image = _scan(key / "scan", anatomy.signal.reshape(grid.shape), grid.spacing)
    if dims == 2:
        image = image * (255.0 / np.percentile(image, 99.8))
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    else:
        image = np.clip(np.rint(image), 0, np.iinfo(np.int16).max).astype(np.int16)
    source = Source(format="array")
    return Volume(image[None], grid.affine, source), Volume(
        label.reshape(grid.shape)[None], grid.affine, source
    )


def write_phantom_cohort(
    out: Path,
    *,
    labeled: int = 4,
    unlabeled: int = 20,
    test: int = 6,
    dims: int = 3,
    classes: int = 1,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write two data folders, ``out/train`` and ``out/test``, and return their paths.

    The first ``labeled`` training cases have a label file, the next ``unlabeled`` have none; every test case
    has one (for measuring only). 3D cases are ``.nii.gz``, 2D ones ``.png``. ``out`` must be new or empty
    (:class:`~semivox.errors.DataError`).
    """
    ending = ".nii.gz" if dims == 3 else ".png"
    dataset: dict[str, object] = {
        "name": "semivox phantom",
        "channel_names": {"0": "phantom"},
        "labels": {"background": 0, **{name: value for value, name in enumerate(CLASSES[:classes], 1)}},
        "file_ending": ending,
        # a small aorta or ventricle may lie outside a slice
        "may_be_empty": list(range(2, classes + 1)) if dims == 2 else [],
    }
    if dims == 2:
        dataset["spacing_known"] = False  # PNG has no place for it
    names = [f"phantom_{i:03d}" for i in range(1, labeled + unlabeled + test + 1)]
    first_test = labeled + unlabeled
    with new_folder(Path(out)) as root:
        for folder, part in (("train", names[:first_test]), ("test", names[first_test:])):
            for sub in ("imagesTr", "labelsTr"):
                (root / folder / sub).mkdir(parents=True)
            for name in part:
                image, label = make_phantom(Key(seed, "phantom") / name, dims, classes)
                write_volume(root / folder / "imagesTr" / f"{name}_0000{ending}", image.array, image)
                if folder == "test" or name in names[:labeled]:
                    write_mask(root / folder / "labelsTr" / f"{name}{ending}", label.array[0], label)
            labels = len(list((root / folder / "labelsTr").iterdir()))
            rows = [{"case": name, "patient": name} for name in part]
            write_tables(root / folder, {**dataset, "numTraining": labels}, rows, ("case", "patient"))
    return Path(out) / "train", Path(out) / "test"


@dataclass(frozen=True)
class _Grid:
    """Where the voxels of a case lie in the patient. 2D grids have one slice that ``shape`` leaves out."""

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        return np.linalg.norm(self.affine[:3, : len(self.shape)], axis=0)

    def points(self) -> np.ndarray:
        """(3, N) float32: the voxel centres in mm, RAS+, last axis fastest."""
        index = np.indices(self.shape, np.float32).reshape(len(self.shape), -1)
        columns = self.affine[:3, : len(self.shape)].astype(np.float32)
        return columns @ index + self.affine[:3, 3:].astype(np.float32)


def _draw_grid(key: Key, dims: int, shape: Sequence[int] | None) -> _Grid:
    """A scanner's grid: field of view, voxels, tilt, direction and order of the axes."""
    rng = key.numpy()
    view = np.array(FIELD_OF_VIEW_MM) * rng.uniform(0.94, 1.08, 3)
    order, signs = np.arange(3), np.array([-1.0, -1.0, 1.0])  # rows run left, columns run back
    tilt = np.deg2rad(rng.normal(0.0, 5.0, 3))
    centre = np.append(rng.normal(0.0, 3.0, 2), rng.normal(0.0, 2.0))
    voxels = np.rint(np.array(VOXELS[dims]) * rng.uniform(0.92, 1.08, dims)).astype(int)
    if dims == 3:
        kind = rng.uniform()
        if kind < 0.15:
            order = rng.permutation(3)
        if kind < 0.4:
            signs = rng.choice([-1.0, 1.0], 3)
        voxels = voxels[order]
    if shape is not None:
        voxels = np.array(shape)
    size = np.append(voxels, 1) if dims == 2 else voxels
    direction = _rotation(tilt) @ (np.eye(3) * signs)[:, order]
    affine = np.eye(4)
    affine[:3, :3] = direction * (view[order] / size if dims == 3 else np.append(view[:2] / voxels, 1.0))
    affine[:3, 3] = centre - affine[:3, :3] @ ((size - 1) / 2)
    return _Grid(tuple(int(n) for n in voxels), affine)


def _scan(key: Key, signal: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """What a receiver makes of the tissue's signal: coil shading, blur, noise of a magnitude image, gain."""
    rng = key.numpy()
    axes = np.meshgrid(
        *[np.linspace(-1, 1, n, dtype=np.float32) for n in signal.shape], indexing="ij", sparse=True
    )
    shading = np.zeros(signal.shape, np.float32)
    for axis in axes:
        shading += rng.normal(0, 0.10) * axis + rng.normal(0, 0.08) * axis**2
    shading += rng.normal(0, 0.08) * axes[0] * axes[1]
    signal = gaussian_filter(signal * np.exp(shading), rng.uniform(0.35, 0.65))
    noise = rng.uniform(0.05, 0.11)
    real = signal + rng.standard_normal(signal.shape, np.float32) * np.float32(noise)
    imaginary = rng.standard_normal(signal.shape, np.float32) * np.float32(noise)
    magnitude = np.sqrt(real**2 + imaginary**2)
    # interpolation at the console correlates the noise of neighbours
    magnitude = gaussian_filter(magnitude, 0.3)
    return magnitude * np.float32(np.exp(rng.normal(np.log(400.0), 0.35)))


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation about x, then y, then z by ``angles`` (radians)."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn
