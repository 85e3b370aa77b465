"""Settings of augmentation: which changes of geometry and intensity training crops get, and how strong."""

from __future__ import annotations

from dataclasses import dataclass

from semivox.errors import SettingsError


@dataclass(frozen=True)
class Augmentation:
    """Ranges the random changes of training crops are drawn from.

    Intensities are those of normalised images (zero mean, unit standard deviation, nearly), so offsets and
    noise are in standard deviations. An axis is *thick* when its spacing is more than 1.5 times the finest.
    """

    enabled: bool = True
    """False switches every change off: all views equal the plain crop."""

    affine_probability: float = 1.0
    """How often a crop is rotated and scaled."""

    rotation_degrees: float = 20.0
    """Largest rotation in the plane of the first two axes, either way (about the last axis in 3D)."""

    tilt_degrees: float = 5.0
    """Largest rotation about each of the other two axes in 3D; never across thick slices."""

    scale: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest magnification, the same along all axes that are not thick."""

    flip_axes: tuple[int, ...] | None = None
    """Working axes that may be mirrored; empty: the first two, but those along which a labelled class would
    become another one (left and right). [] for none."""

    flip_probability: float = 0.5
    """How often each of the flip axes is mirrored."""

    elastic_probability: float = 0.25
    """How often a crop is deformed elastically."""

    elastic_cells: int = 4
    """Cells of the deformation's control grid along the patch's longest side; fewer is smoother."""

    elastic_amplitude: float = 0.2
    """Largest standard deviation of the control points' displacements, in cells."""

    gamma: tuple[float, float] = (0.7, 1.5)
    """Range of every training view's gamma, applied between the crop's least and greatest intensity."""

    gain: tuple[float, float] = (0.7, 1.4)
    """Range of the factor every training view's intensities are multiplied by, per channel."""

    offset: float = 0.3
    """Largest offset added to every training view, per channel, either way."""

    noise: float = 0.15
    """Largest standard deviation of the Gaussian noise added to every training view."""

    strong_probability: float = 0.5
    """How often each of the strong view's changes happens."""

    strong_contrast: tuple[float, float] = (0.65, 1.5)
    """Range of the strong view's contrast factor (about the crop's mean), per channel."""

    strong_brightness: float = 0.4
    """Largest offset of the strong view, per channel, either way."""

    strong_gamma: tuple[float, float] = (0.7, 1.5)
    """Range of the strong view's gamma, applied between the crop's least and greatest intensity."""

    strong_noise: float = 0.2
    """Largest standard deviation of the strong view's Gaussian noise."""

    strong_blur: tuple[float, float] = (0.5, 1.2)
    """Range of the strong view's Gaussian blur, standard deviation in finest voxels."""

    strong_coarsening: tuple[float, float] = (1.0, 2.0)
    """Range of the factor by which the strong view's resolution is lowered (and brought back)."""

    cutout_probability: float = 0.0
    """How often a box of the strong view is set to 0, the mean intensity."""

    cutout_size: float = 0.3
    """Side of that box as a share of the patch."""

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Working axes that may be mirrored."""
        return (0, 1) if self.flip_axes is None else self.flip_axes

    def __post_init__(self) -> None:
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
            if not 0 < low <= high:
                raise SettingsError(
                    f"augmentation.{name} is not a range", found=(low, high), expected="0 < low <= high"
                )
        for name in ("affine", "flip", "elastic", "strong", "cutout"):
            value = getattr(self, f"{name}_probability")
            if not 0 <= value <= 1:
                raise SettingsError(
                    f"augmentation.{name}_probability is not a probability", found=value, expected="0..1"
                )
        for name in ("rotation_degrees", "tilt_degrees", "elastic_amplitude", "offset", "noise",
                     "strong_brightness", "strong_noise", "cutout_size"):  # fmt: skip
            if getattr(self, name) < 0:
                raise SettingsError(
                    f"augmentation.{name} is negative", found=getattr(self, name), expected=">= 0"
                )
        if self.elastic_cells < 1:
            raise SettingsError("augmentation.elastic_cells", found=self.elastic_cells, expected=">= 1")
        if self.strong_coarsening[0] < 1:
            raise SettingsError(
                "augmentation.strong_coarsening", found=self.strong_coarsening, expected="factors >= 1"
            )


THICK_RATIO = 1.5


def thick_axes(spacing: tuple[float, ...]) -> tuple[bool, ...]:
    """Per axis: is its spacing more than 1.5 times the finest? In-plane motion stays off such axes."""
    finest = min(spacing)
    return tuple(s > THICK_RATIO * finest for s in spacing)
