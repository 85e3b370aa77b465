"""The plan: how a cohort is brought to a working grid and cut into patches, and what that costs.

A plan is a pure function of a fingerprint, a budget and a cost table (:mod:`semivox.prepare.planner`); it
never depends on the method. It is stored as ``plan.json`` in the run folder and can be given to ``--plan``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from semivox.cohort import Region, Regions

FORMAT = 1
NORMS = ("batch", "instance")
KINDS = ("vnet", "unet")
SCHEMES = ("zscore", "ct")
MOST = {"patch": 2**27, "batch": 2**20}
"""Voxels of a patch, and product of a batch's parts, beyond what any machine could hold."""


@dataclass(frozen=True)
class ChannelPlan:
    """How one channel is normalised: ``zscore`` a volume; ``ct``: clip to [low, high], then (x-mean)/std."""

    name: str
    scheme: str
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class ClassPlan:
    """One foreground class at working resolution.

    ``voxels`` is the median number of foreground voxels of a labelled case on the working grid,
    ``dice_ceiling`` the mean Dice of its labels against themselves after a round trip through that grid.
    ``one_piece``: in every label it is one connected piece, but for crumbs.
    """

    value: int
    name: str
    voxels: float
    dice_ceiling: float
    one_piece: bool = True


@dataclass(frozen=True)
class RegionPlan(ClassPlan):
    """A region; ``value`` is its number, ``parts`` are the values of the classes that make it up, and
    ``written`` is the one that stands for it in a mask."""

    parts: tuple[int, ...] = ()
    written: int = 0


@dataclass(frozen=True)
class NetworkPlan:
    """Architecture: ``vnet`` (the papers') or ``unet``; one entry a resolution level.

    ``features[i]`` channels at level i; ``kernels[i]`` its kernel; ``strides[i]`` the downsampling between
    level i and i + 1 (``len(strides) == len(features) - 1``). ``norm``: ``batch`` or ``instance``.
    """

    kind: str
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    norm: str = "batch"

    @property
    def multiple(self) -> tuple[int, ...]:
        """Per axis, what a network's input size must be a multiple of."""
        total = [1] * len(self.kernels[0])
        for stride in self.strides:
            total = [t * s for t, s in zip(total, stride, strict=True)]
        return tuple(total)


@dataclass(frozen=True)
class Plan:
    """See the module. Axes are working axes: RAS axes permuted by ``axes``, the coarsest one last.

    ``spacing`` is in mm, or in pixels of the finest axis where ``spacing_known`` is False (then every case
    is taken to have ``native_spacing``). ``batch`` is (labelled, unlabelled) crops a step; a method without
    an unlabelled stream takes their sum. ``classes`` are what a network tells apart, ``regions`` what is made
    of them and judged, where there are any.
    """

    dims: int
    axes: tuple[int, ...]
    native_spacing: tuple[float, ...]
    spacing: tuple[float, ...]
    spacing_known: bool
    rung: float
    shape: tuple[int, ...]  # median working shape
    patch: tuple[int, ...]
    batch: tuple[int, int]
    network: NetworkPlan
    channels: tuple[ChannelPlan, ...]
    classes: tuple[ClassPlan, ...]
    budget_seconds: float | None
    step_seconds: float  # estimate for one network, forward and backward over the batch
    steps: int | None
    assumptions: tuple[str, ...]
    together: bool = False
    """In every label all foreground is one connected piece, but for crumbs."""
    regions: tuple[RegionPlan, ...] = ()
    format: int = FORMAT

    @property
    def judged(self) -> tuple[ClassPlan, ...]:
        """The regions, or the classes where there are none."""
        return self.regions or self.classes

    @cached_property
    def scheme(self) -> Regions:
        """The regions, of class indices (1 to K - 1)."""
        each = tuple(Region(region.name, region.parts, region.written) for region in self.regions)
        return Regions(each).indexed([shown.value for shown in self.classes])

    @property
    def in_one_piece(self) -> tuple[int, ...]:
        """Indices (1 to K - 1) of the classes that labels show in one connected piece; numbers of regions
        where there are any."""
        return tuple(k for k, shown in enumerate(self.judged, 1) if shown.one_piece)
