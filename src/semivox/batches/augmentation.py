"""Settings of augmentation: which changes of geometry and intensity training crops get, and how strong."""

from __future__ import annotations

from dataclasses import dataclass

from semivox.errors import SettingsError
from semivox.ranges import Axis, Coarser, Degrees, Factor, Few, Share, Weight
from semivox.settings import check_fields


@dataclass(frozen=True)
class Augmentation:
    """Ranges the random changes of training crops are drawn from.

    Intensities are those of normalised images (zero mean, unit standard deviation, nearly), so offsets and
    noise are in standard deviations. An axis is *thick* when its spacing is more than 1.5 times the finest.
    """

    enabled: bool = True
    """False switches every change off: all views equal the plain crop."""

    affine_probability: Share = 1.0
    """How often a crop is rotated and scaled."""

    rotation_degrees: Degrees = 20.0
    """Largest rotation in the plane of the first two axes, either way (about the last axis in 3D)."""

    tilt_degrees: Degrees = 5.0
    """Largest rotation about each of the other two axes in 3D; never across thick slices."""

    scale: tuple[Factor, Factor] = (0.8, 1.25)
    """Smallest and largest magnification, the same along all axes that are not thick."""

    flip_axes: tuple[Axis, ...] | None = None
    """Working axes that may be mirrored; empty: the first two, but those along which a labelled class would
    become another one (left and right). [] for none."""

    flip_probability: Share = 0.5
    """How often each of the flip axes is mirrored."""

    elastic_probability: Share = 0.25
    """How often a crop is deformed elastically."""

    elastic_cells: Few = 4
    """Cells of the deformation's control grid along the patch's longest side; fewer is smoother."""

    elastic_amplitude: Weight = 0.2
    """Largest standard deviation of the control points' displacements, in cells."""

    gamma: tuple[Factor, Factor] = (0.7, 1.5)
    """Range of every training view's gamma, applied between the crop's least and greatest intensity."""

    gain: tuple[Factor, Factor] = (0.7, 1.4)
    """Range of the factor every training view's intensities are multiplied by, per channel."""

    offset: Weight = 0.3
    """Largest offset added to every training view, per channel, either way."""

    noise: Weight = 0.15
    """Largest standard deviation of the Gaussian noise added to every training view."""

    bias: Weight = 0.0
    """Largest standard deviation, at its control points, of the logarithm of a smooth field that multiplies
    every training view's intensities, counted from the crop's least one, as coils near the body do."""

    strong_probability: Share = 0.5
    """How often each of the strong view's changes happens."""

    strong_contrast: tuple[Factor, Factor] = (0.65, 1.5)
    """Range of the strong view's contrast factor (about the crop's mean), per channel."""

    strong_brightness: Weight = 0.4
    """Largest offset of the strong view, per channel, either way."""

    strong_gamma: tuple[Factor, Factor] = (0.7, 1.5)
    """Range of the strong view's gamma, applied between the crop's least and greatest intensity."""

    strong_noise: Weight = 0.2
    """Largest standard deviation of the strong view's Gaussian noise."""

    strong_blur: tuple[Factor, Factor] = (0.5, 1.2)
    """Range of the strong view's Gaussian blur, standard deviation in finest voxels."""

    strong_coarsening: tuple[Coarser, Coarser] = (1.0, 2.0)
    """Range of the factor by which the strong view's resolution is lowered (and brought back)."""

    cutout_probability: Share = 0.0
    """How often a box of the strong view is set to 0, the mean intensity."""

    cutout_size: Share = 0.3
    """Side of that box as a share of the patch."""

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Working axes along which crops are mirrored."""
        if not self.enabled or not self.flip_probability:
            return ()
        return (0, 1) if self.flip_axes is None else self.flip_axes

    def __post_init__(self) -> None:
        check_fields(self, "augmentation")
        for name in (
            "scale",
            "gamma",
            "gain",
            "strong_contrast",
            "strong_gamma",
            "strong_blur",
            "strong_coarsening",
        ):
            low, high = getattr(self, name)
            if low > high:
                raise SettingsError(
                    f"augmentation.{name} is not a range", found=(low, high), expected="low <= high"
                )
        axes = self.flip_axes or ()
        if len(set(axes)) < len(axes):
            raise SettingsError(
                "augmentation.flip_axes names an axis twice", found=list(axes), expected="each axis once"
            )


THICK_RATIO = 1.5


def thick_axes(spacing: tuple[float, ...]) -> tuple[bool, ...]:
    """Per axis: is its spacing more than 1.5 times the finest? In-plane motion stays off such axes."""
    finest = min(spacing)
    return tuple(s > THICK_RATIO * finest for s in spacing)
