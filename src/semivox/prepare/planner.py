"""The planner: from a fingerprint, a budget and a cost table to a plan. Pure arithmetic; no torch, no files.

The rule: the finest admissible rung of the resolution ladder at which the budget buys enough steps with a
patch that sees at least half of what it should; if there is none, the coarsest admissible rung. A patch
should see the scan; with few labelled scans, in which what lies around a structure is learned by heart, no
more than twice the structure. A rung is admissible
if it is the native one, or if every class keeps Dice 0.95 on its round trip. A budget buys patch size
as well: the largest of a few sizes that leaves enough steps, among those that the machine's memory holds.
Where it buys so few that nothing would be learned, coarser rungs, patches that see less and smaller batches
come in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

from semivox.cohort import is_ct
from semivox.errors import SettingsError
from semivox.prepare.architecture import choose_network, choose_patch
from semivox.prepare.assumptions import (
    say_axes,
    say_channel,
    say_class,
    say_rung,
    say_spacing,
    say_step,
)
from semivox.prepare.costs import COSTS, Costs, step_memory, step_seconds
from semivox.prepare.fingerprint import Fingerprint, rung_spacing
from semivox.prepare.grid import working_size
from semivox.prepare.overrides import checked_overrides
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan, RegionPlan

DEFAULT_BUDGET = 3600.0
"""Seconds."""

LEAST_CEILING = 0.95
"""Least Dice that a label keeps on its round trip through an admissible rung, for every class."""

ONE_PIECE = 0.9
"""Least share of a class in its largest piece, in every label, for which it counts as one piece."""

LEAST_COVER = 0.5
"""Least share that a patch sees of what it should (see ``_sight``)."""

FEW_LABELED = 20
"""With fewer labelled scans patches are made for the structure; measured: docs/methods/self_training.md."""

SURROUNDINGS = 2.0
"""Extents of the structure, along each axis, that a patch then sees."""

MIN_STEPS = 1000
"""A budget buys at least so many steps with patches of up to ``COMMON_VOXELS``."""

MIN_STEPS_STRUCTURE = 2000
"""The same where patches are made for the structure: there a coarser grid and twice the steps teach more."""

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


def make_plan(
    fingerprint: Fingerprint,
    budget_seconds: float | None = None,
    costs: Costs = COSTS,
    override: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan for a cohort.

    Parameters
    ----------
    fingerprint
        What was measured on the cohort.
    budget_seconds
        Training time to plan for; None takes an hour to choose by, and leaves ``steps`` open.
    costs
        Rates of the machine.
    override
        Dotted plan names -> values that replace the planner's choice: ``rung``, ``spacing``, ``patch``,
        ``batch``, ``steps``, ``network.kind``, ``network.norm``, ``channels.N.scheme``. What follows from
        them is planned anew.

    Raises
    ------
    SettingsError
        An unknown name, or a value that does not fit the cohort.
    """
    wish = checked_overrides(fingerprint, override or {})
    budget = DEFAULT_BUDGET if budget_seconds is None else float(budget_seconds)
    if not budget > 0 or not math.isfinite(budget):
        raise SettingsError("the budget must be a positive time", found=budget_seconds)
    options = [_option(fingerprint, spacing, budget, costs, wish) for spacing in _spacings(fingerprint, wish)]
    rungs = _rungs(fingerprint, wish)
    admissible = [i for i, rung in enumerate(rungs) if len(rungs) == 1 or _admissible(fingerprint, rung)]
    roomy = [i for i in admissible if options[i].roomy]
    chosen = roomy[0] if roomy else admissible[-1]
    if options[chosen].steps < FEW_STEPS:
        coarser = range(chosen, len(options))
        chosen = next((i for i in coarser if options[i].steps >= FEW_STEPS), coarser[-1])
    option, rung = options[chosen], rungs[chosen]
    channels, classes = _channels(fingerprint, wish), _classes(fingerprint, rung, option)
    regions = _regions(fingerprint, rung, option)
    reason = _reason(wish, bool(roomy), chosen not in admissible, option.enough)
    crowded = any(o.crowded for o in options[: chosen + 1])
    made_for = None if option.sight == option.shape else option.sight
    steps = wish.get("steps", option.steps if budget_seconds is not None else None)
    return Plan(
        dims=fingerprint.dims,
        axes=fingerprint.axes,
        native_spacing=fingerprint.native_spacing,
        spacing=option.spacing,
        spacing_known=fingerprint.spacing_known,
        rung=rung,
        shape=option.shape,
        patch=option.patch,
        batch=option.batch,
        network=option.network,
        channels=channels,
        classes=classes,
        regions=regions,
        budget_seconds=budget_seconds,
        step_seconds=option.step_seconds,
        steps=steps,
        together=_together(fingerprint),
        assumptions=(
            say_spacing(fingerprint),
            say_axes(fingerprint),
            say_rung(fingerprint, option.spacing, rung, reason, option.patch, option.cover, made_for),
            *(say_class(c) for c in regions or classes),
            *(say_channel(i, c) for i, c in enumerate(channels)),
            say_step(option.batch, option.step_seconds, option.memory, crowded, costs),
        ),
    )


def _reason(wish: Mapping[str, Any], roomy: bool, lossy: bool, enough: int) -> str:
    if "rung" in wish or "spacing" in wish:
        return "as asked"
    if roomy:
        return f"the finest with {enough} steps in the budget and a patch that sees half of what it should"
    if lossy:
        return f"finer ones would leave fewer than {FEW_STEPS} steps in the budget"
    return f"the coarsest that keeps Dice {LEAST_CEILING} for every class"


@dataclasses.dataclass(frozen=True)
class _Option:
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
    memory: int
    crowded: bool
    """Whether a larger patch was left out because it takes too much memory."""

    @property
    def enough(self) -> int:
        """Steps that a budget should buy."""
        return MIN_STEPS if self.sight == self.shape else MIN_STEPS_STRUCTURE

    @property
    def roomy(self) -> bool:
        """Whether the budget leaves steps and sight enough at this spacing."""
        return self.steps >= self.enough and self.cover >= LEAST_COVER

    @property
    def cover(self) -> float:
        """Share of what a patch should see that lies inside one."""
        return math.prod(min(p, s) / s for p, s in zip(self.patch, self.sight, strict=True))


def _option(
    fingerprint: Fingerprint,
    spacing: tuple[float, ...],
    budget: float,
    costs: Costs,
    wish: Mapping[str, Any],
) -> _Option:
    shape = _median_shape(fingerprint, spacing)
    sight = _sight(fingerprint, spacing, shape)
    common = COMMON_VOXELS[fingerprint.dims]
    room = math.inf if costs.memory_bytes is None else MEMORY_SHARE * costs.memory_bytes
    option: _Option | None = None
    crowded = False
    channels, classes = len(fingerprint.channels), len(fingerprint.values) + 1
    for factor in (1.0,) if "patch" in wish else PATCH_FACTORS:
        if "patch" in wish:
            patch, network = _wished_patch(wish, spacing)
        else:
            patch, network = choose_patch(sight, spacing, int(factor * common), wish.get("network.kind"))
        network = dataclasses.replace(network, norm=wish.get("network.norm", network.norm))
        batch = wish.get("batch", _batch(patch))
        memory = step_memory(network, patch, batch, channels, classes)
        if memory > room and "patch" not in wish and factor != PATCH_FACTORS[-1]:
            crowded = True
            continue
        seconds = step_seconds(network, patch, batch, costs, channels, classes)
        steps = max(1, int(FOR_STEPS * budget / seconds))
        smaller = _Option(spacing, shape, sight, patch, batch, network, seconds, steps, memory, crowded)
        blind = factor < SMALL_FACTOR and smaller.cover < LEAST_COVER
        if option is not None and option.steps >= FEW_STEPS and blind:
            break
        option = smaller
        if steps >= (MANY_STEPS if math.prod(patch) > common else option.enough):
            break
    assert option is not None
    while "batch" not in wish and option.steps < FEW_STEPS and option.batch != (1, 1):
        batch = option.batch[0] // 2, option.batch[1] // 2
        seconds = step_seconds(option.network, option.patch, batch, costs, channels, classes)
        memory = step_memory(option.network, option.patch, batch, channels, classes)
        option = dataclasses.replace(
            option, batch=batch, step_seconds=seconds, memory=memory,
            steps=max(1, int(FOR_STEPS * budget / seconds)),
        )  # fmt: skip
    return option


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


def _median_shape(fingerprint: Fingerprint, spacing: tuple[float, ...]) -> tuple[int, ...]:
    sizes = [
        [working_size(n, s, t) for n, s, t in zip(case.shape, case.spacing, spacing, strict=True)]
        for case in fingerprint.cases
    ]
    return tuple(math.floor(median(axis) + 0.5) for axis in zip(*sizes, strict=True))


def _sight(fingerprint: Fingerprint, spacing: tuple[float, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a patch should see, voxels at ``spacing``: the median scan of ``shape``; with few labelled scans
    that show all foreground in one piece, twice the median extent of that piece where it is less."""
    drawn = fingerprint.cases[: fingerprint.labeled]
    if len(drawn) >= FEW_LABELED or not _together(fingerprint):
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


def _rungs(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> list[float]:
    """The rungs to choose from, finest first; one if rung or spacing is given."""
    if "spacing" in wish:
        return [min(wish["spacing"]) / min(fingerprint.native_spacing)]
    return [wish["rung"]] if "rung" in wish else list(fingerprint.rungs)


def _spacings(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> list[tuple[float, ...]]:
    if "spacing" in wish:
        return [wish["spacing"]]
    return [rung_spacing(fingerprint.native_spacing, rung) for rung in _rungs(fingerprint, wish)]


def _ceilings(fingerprint: Fingerprint, rung: float) -> list[float]:
    """Mean Dice of each class's, then each region's round trip at ``rung``, or at the measured rung nearest
    to it; 1 where no label shows it."""
    nearest = min(range(len(fingerprint.rungs)), key=lambda r: abs(math.log(fingerprint.rungs[r] / rung)))
    columns = zip(*(case.ceilings[nearest] for case in fingerprint.cases[: fingerprint.labeled]), strict=True)
    known = ([dice for dice in column if dice is not None] for column in columns)
    return [fmean(column) if column else 1.0 for column in known]


def _admissible(fingerprint: Fingerprint, rung: float) -> bool:
    judged = _ceilings(fingerprint, rung)[len(fingerprint.values) if fingerprint.regions else 0 :]
    return rung == 1 or min(judged) >= LEAST_CEILING


def _classes(fingerprint: Fingerprint, rung: float, option: _Option) -> tuple[ClassPlan, ...]:
    named = zip(fingerprint.values, fingerprint.names, strict=True)
    return tuple(_class(fingerprint, rung, option, k, *each) for k, each in enumerate(named))


def _regions(fingerprint: Fingerprint, rung: float, option: _Option) -> tuple[RegionPlan, ...]:
    found = []
    for number, (name, parts, written) in enumerate(fingerprint.regions, 1):
        k = len(fingerprint.values) + number - 1
        shown = _class(fingerprint, rung, option, k, number, name)
        found.append(RegionPlan(**vars(shown), parts=parts, written=written))
    return tuple(found)


def _class(
    fingerprint: Fingerprint, rung: float, option: _Option, k: int, value: int, name: str
) -> ClassPlan:
    """Of column ``k`` of what was measured; a part of regions that no label shows has no voxels."""
    counts = []
    for case in fingerprint.cases[: fingerprint.labeled]:
        if case.voxels[k]:
            native = zip(case.shape, case.spacing, option.spacing, strict=True)
            counts.append((case.voxels[k] or 0) * math.prod(working_size(*n) / n[0] for n in native))
    shares = [case.largest[k] for case in fingerprint.cases[: fingerprint.labeled]]
    one_piece = min((share for share in shares if share is not None), default=0.0) >= ONE_PIECE
    voxels = round(median(counts), 1) if counts else 0.0
    return ClassPlan(value, name, voxels, round(_ceilings(fingerprint, rung)[k], 4), one_piece)


def _together(fingerprint: Fingerprint) -> bool:
    shares = [case.together for case in fingerprint.cases[: fingerprint.labeled]]
    return bool(shares) and all(share is not None and share >= ONE_PIECE for share in shares)


def _channels(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> tuple[ChannelPlan, ...]:
    channels = []
    for i, name in enumerate(fingerprint.channels):
        scheme = wish.get(f"channels.{i}.scheme", "ct" if is_ct(name) else "zscore")
        if scheme == "ct":
            f = fingerprint.foreground[i]
            channels.append(ChannelPlan(name, "ct", f.low, f.high, f.mean, f.std or 1.0))
        else:
            channels.append(ChannelPlan(name, "zscore"))
    return tuple(channels)
