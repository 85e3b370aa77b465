"""What a working spacing comes to under a budget: how far a patch sees there, and how many steps are left.

A patch should see the scan; with few labelled scans, in which what lies around a structure is learned by
heart, no more than twice the structure. The largest of a few sizes is taken that leaves enough steps, among
those that the machine's memory holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from semivox.errors import SettingsError
from semivox.prepare.architecture import choose_network, choose_patch
from semivox.prepare.costs import Costs, labelling_seconds, step_memory, step_seconds
from semivox.prepare.fingerprint import Fingerprint
from semivox.prepare.plan import NetworkPlan

ONE_PIECE = 0.9
"""Least share of a class in its largest piece, in every label, for which it counts as one piece."""

LEAST_COVER = 0.5
"""Least share that a patch sees of what it should (see ``_sight``)."""

WHOLE_COVER = 0.9
"""The same for few labelled pictures of structures in pieces. A crop without any looks, normalised by itself,
like one with some: there a coarser grid costs less than crops (measured: docs/methods/self_training.md)."""

FEW_LABELED = 20
"""Fewer labelled scans are learned by heart, so patches are made for the structure (measured:
docs/explanation/how-self-training-grew.md), and ``auto`` lets boxes change places between them
(docs/results.md)."""

SURROUNDINGS = 2.0
"""Extents of the structure, along each axis, that a patch then sees."""

MIN_STEPS = 1000
"""A budget buys at least so many steps with patches of up to ``COMMON_VOXELS``."""

MIN_STEPS_STRUCTURE = 4000
"""The same where patches are made for the structure: there a coarser grid and twice the steps teach more."""

MOST_OF_A_SCAN = 0.75
"""Of few scans that a structure fills a U-Net wants as many before it sees less than this: a coarser grid
that shows most of a scan teaches more until then (left atria: docs/methods/self_training.md)."""

CROPS_BESIDE = 1.5
"""Crops of a step that learns from unlabelled scans as well, over the batch's: ``self_training`` adds none
while it learns from labels alone, and as many again in its rounds."""

LABELLINGS, FOR_LABELLING = 3, 0.4
"""How often all unlabelled scans are labelled, and the share of a budget that this takes at most."""

FEW_STEPS = 100
"""With fewer no model is to be used: anything coarser is better."""

FOR_STEPS = 0.85
"""Share of a budget that steps have: reading, preparing and measuring come before them."""

MANY_STEPS = 8000
"""Only a budget for so many steps buys patches above ``COMMON_VOXELS``."""

COMMON_VOXELS = {2: 192 * 192, 3: 64 * 64 * 48}
PATCH_FACTORS = (5.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.75, 0.5, 0.35, 0.25)
"""Patch sizes tried, in multiples of ``COMMON_VOXELS``; 5 is about the 112x112x80 of the literature, and the
smallest ones are for budgets of minutes, where more steps teach more than more context."""

SMALL_FACTOR = 0.5
"""Patches below this are tried only while they see ``LEAST_COVER`` of a scan."""

MEMORY_SHARE = 0.75
"""A training may take so much of the machine's memory; patches that need more are not chosen."""

SMALL_IMAGE = 160 * 160
"""2D patches up to this size come in batches of 16, larger ones of 8."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a working spacing comes to under the budget."""

    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    sight: tuple[int, ...]
    """What a patch should see, voxels."""
    patch: tuple[int, ...]
    batch: tuple[int, int]
    network: NetworkPlan
    step_seconds: float
    steps: int
    """From labels alone."""
    beside: int
    """From unlabelled scans as well; as many as from labels alone where few are at hand."""
    whole: bool
    """Whether a patch is to see whole pictures."""
    filled: bool
    """Whether few labelled scans are filled by a structure in one piece, and a U-Net was asked for."""
    memory: int
    crowded: bool
    """Whether a larger patch was left out because it takes too much memory."""

    @property
    def made_for(self) -> tuple[int, ...] | None:
        """What a patch should see, where it is not the whole scan."""
        return None if self.sight == self.shape else self.sight

    @property
    def enough(self) -> int:
        """Steps that a budget should buy."""
        return MIN_STEPS if self.sight == self.shape else MIN_STEPS_STRUCTURE

    @property
    def bought(self) -> int:
        """Steps that are held against it. Where few labelled scans are learned by heart those beside
        unlabelled ones count, if any are at hand."""
        return self.beside if self.whole or self.sight != self.shape else self.steps

    @property
    def least_cover(self) -> float:
        """Least share that a patch sees of what it should."""
        return WHOLE_COVER if self.whole else LEAST_COVER

    @property
    def roomy(self) -> bool:
        """Whether the budget leaves steps and sight enough at this spacing."""
        crops = self.filled and self.cover < MOST_OF_A_SCAN
        steps = (self.beside, MIN_STEPS_STRUCTURE) if crops else (self.bought, self.enough)
        return steps[0] >= steps[1] and self.cover >= self.least_cover

    @property
    def cover(self) -> float:
        """Share of what a patch should see that lies inside one."""
        return math.prod(min(p, s) / s for p, s in zip(self.patch, self.sight, strict=True))


def candidate_at(
    fingerprint: Fingerprint,
    spacing: tuple[float, ...],
    budget: float,
    costs: Costs,
    wish: Mapping[str, Any],
) -> Candidate:
    """The candidate at ``spacing`` under ``budget`` seconds; ``wish``: checked overrides of the plan."""
    scans = _Scans.of(fingerprint, spacing, budget, costs, wish.get("network.kind"))
    common = COMMON_VOXELS[fingerprint.dims]
    room = math.inf if costs.memory_bytes is None else MEMORY_SHARE * costs.memory_bytes
    chosen: Candidate | None = None
    crowded = False
    for factor in (1.0,) if "patch" in wish else PATCH_FACTORS:
        if "patch" in wish:
            patch, network = _wished_patch(wish, spacing)
        else:
            patch, network = choose_patch(
                scans.sight, spacing, int(factor * common), wish.get("network.kind")
            )
        network = dataclasses.replace(network, norm=wish.get("network.norm", network.norm))
        smaller = scans.candidate(network, patch, wish.get("batch", _batch(patch)), crowded)
        if smaller.memory > room and "patch" not in wish and factor != PATCH_FACTORS[-1]:
            crowded = True
            continue
        blind = factor < SMALL_FACTOR and smaller.cover < smaller.least_cover
        if chosen is not None and chosen.steps >= FEW_STEPS and blind:
            break
        chosen = smaller
        if chosen.bought >= (MANY_STEPS if math.prod(patch) > common else chosen.enough):
            break
    assert chosen is not None
    while "batch" not in wish and chosen.steps < FEW_STEPS and chosen.batch != (1, 1):
        batch = chosen.batch[0] // 2, chosen.batch[1] // 2
        chosen = scans.candidate(chosen.network, chosen.patch, batch, chosen.crowded)
    return chosen


@dataclasses.dataclass(frozen=True)
class _Scans:
    """The scans at one working spacing, and what there is to learn from them."""

    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    sight: tuple[int, ...]
    channels: int
    classes: int
    whole: bool
    filled: bool
    unlabeled: int
    """As long as they are as many as the labelled ones, else 0."""
    seconds: float
    costs: Costs

    @classmethod
    def of(
        cls,
        fingerprint: Fingerprint,
        spacing: tuple[float, ...],
        budget: float,
        costs: Costs,
        kind: str | None,
    ) -> _Scans:
        shape = fingerprint.median_shape(spacing)
        sight = _sight(fingerprint, spacing, shape)
        channels, classes = len(fingerprint.channels), len(fingerprint.values) + 1
        labeled = fingerprint.labeled
        others = len(fingerprint.cases) - labeled
        unlabeled = others if others >= labeled else 0
        whole, seconds = _in_few_pictures(fingerprint), FOR_STEPS * budget
        filled = kind == "unet" and sight == shape and _few_in_one_piece(fingerprint)
        return cls(spacing, shape, sight, channels, classes, whole, filled, unlabeled, seconds, costs)

    def candidate(
        self, network: NetworkPlan, patch: tuple[int, ...], batch: tuple[int, int], crowded: bool
    ) -> Candidate:
        """What ``batch`` crops of ``patch`` a step cost here."""
        memory = step_memory(network, patch, batch, self.channels, self.classes)
        a_step = step_seconds(network, patch, batch, self.costs, self.channels, self.classes)
        steps = beside = max(1, int(self.seconds / a_step))
        if self.unlabeled:
            a_scan = labelling_seconds(network, patch, self.shape, self.costs, self.channels, self.classes)
            labelling = min(LABELLINGS * self.unlabeled * a_scan, FOR_LABELLING * self.seconds)
            beside = max(1, int((self.seconds - labelling) / (CROPS_BESIDE * a_step)))
        return Candidate(
            self.spacing,
            self.shape,
            self.sight,
            patch,
            batch,
            network,
            a_step,
            steps,
            beside,
            self.whole,
            self.filled,
            memory,
            crowded,
        )


def _batch(patch: tuple[int, ...]) -> tuple[int, int]:
    """(labelled, unlabelled) crops a step."""
    if len(patch) == 3:
        return (2, 2)
    return (8, 8) if math.prod(patch) <= SMALL_IMAGE else (4, 4)


def _wished_patch(wish: Mapping[str, Any], spacing: tuple[float, ...]) -> tuple[tuple[int, ...], NetworkPlan]:
    patch = wish["patch"]
    network = choose_network(patch, spacing, wish.get("network.kind"))
    rounded = [math.ceil(p / m) * m for p, m in zip(patch, network.multiple, strict=True)]
    if list(patch) != rounded:
        raise SettingsError(
            f"plan.patch must be a multiple of the {network.kind}'s downsampling",
            found=patch,
            expected=f"multiples of {network.multiple}",
            remedy=f"--set plan.patch={rounded}",
        )
    return patch, network


def _sight(fingerprint: Fingerprint, spacing: tuple[float, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a patch should see, voxels at ``spacing``: the median scan of ``shape``; with few labelled scans
    that show all foreground in one piece, twice the median extent of that piece where it is less."""
    drawn = fingerprint.labeled_cases
    if not _few_in_one_piece(fingerprint):
        return shape
    extents = [
        [n * s / t for n, s, t in zip(case.extent, case.spacing, spacing, strict=True)]
        for case in drawn
        if case.extent is not None
    ]
    if not extents:
        return shape
    wide = [math.ceil(SURROUNDINGS * median(axis)) for axis in zip(*extents, strict=True)]
    return tuple(min(n, w) for n, w in zip(shape, wide, strict=True))


def _few_in_one_piece(fingerprint: Fingerprint) -> bool:
    return len(fingerprint.labeled_cases) < FEW_LABELED and all_together(fingerprint)


def all_together(fingerprint: Fingerprint) -> bool:
    shares = [case.together for case in fingerprint.labeled_cases]
    return bool(shares) and all(share is not None and share >= ONE_PIECE for share in shares)


def _in_few_pictures(fingerprint: Fingerprint) -> bool:
    """Whether few labelled pictures are all there is of structures in pieces."""
    drawn = fingerprint.labeled_cases
    pieces = any(case.together is not None and case.together < ONE_PIECE for case in drawn)
    return fingerprint.dims == 2 and len(drawn) < FEW_LABELED and pieces
