"""What a plan takes for granted, a sentence each, with the setting that overrides it."""

from __future__ import annotations

from collections.abc import Sequence

from semivox.cohort import is_no_ct
from semivox.prepare.costs import Costs
from semivox.prepare.fingerprint import Fingerprint
from semivox.prepare.plan import ChannelPlan, ClassPlan, RegionPlan


def say_spacing(fingerprint: Fingerprint) -> str:
    """Whether header spacings are believed."""
    native = _by(fingerprint.native_spacing)
    if fingerprint.spacing_known:
        return (
            f"header spacings are true; the median is {native} mm "
            "(override: `spacing_known: false` in dataset.json)"
        )
    if fingerprint.untold:
        cases = len(fingerprint.cases)
        who = "the files do" if fingerprint.untold == cases else f"{fingerprint.untold} of {cases} scans do"
        return (
            f"{who} not tell the spacing: every case is taken to have voxels of {native}, in units of the "
            "finest axis, and sizes are in pixels (override: none; write the spacing into the files)"
        )
    return (
        f"header spacings are nominal: every case is taken to have voxels of {native}, in units of the "
        "finest axis (override: `spacing_known: true` in dataset.json)"
    )


def say_axes(fingerprint: Fingerprint) -> str:
    """The working axis order."""
    if fingerprint.dims == 2:
        return "images keep their axes: columns, then rows (override: none; turn the files)"
    names = [("right", "anterior", "superior")[a] for a in fingerprint.axes]
    return f"axes are {', '.join(names)}: the coarsest one last (override: none; correct the headers)"


def say_rung(
    fingerprint: Fingerprint,
    spacing: Sequence[float],
    rung: float,
    reason: str,
    patch: Sequence[int],
    cover: float,
    sight: Sequence[int] | None,
) -> str:
    """The working spacing, why, and what a patch sees at it; ``sight``: what it is for, if not the scan."""
    unit = " mm" if fingerprint.spacing_known else ""
    seen = f"the {_by(sight)} voxels around the structure" if sight else "a scan"
    why = "; few labelled scans that are seen whole would be learned by heart" if sight else ""
    return (
        f"working spacing is {_by(spacing)}{unit}, {rung:g} x the finest native one: {reason}; "
        f"a {_by(patch)} patch sees {cover:.0%} of {seen}{why} "
        "(override: --set plan.rung=R or --set plan.spacing=[...])"
    )


def say_class(plan: ClassPlan) -> str:
    """A class's or a region's size and its ceiling."""
    kind = "region" if isinstance(plan, RegionPlan) else "class"
    return (
        f"{kind} {plan.value} ({plan.name}) has about {plan.voxels:,.0f} voxels a case at this spacing; "
        f"its labels, brought to it and back, keep Dice {plan.dice_ceiling:.3f} "
        "(override: --set plan.rung=R)"
    )


def say_channel(index: int, channel: ChannelPlan) -> str:
    """How a channel is normalised."""
    if channel.scheme == "ct":
        return (
            f"channel {index} {channel.name!r} is CT: clipped to [{channel.low:g}, {channel.high:g}], the "
            f"middle 99 % of labelled foreground, then normalised by mean {channel.mean:g} and deviation "
            f"{channel.std:g} (override: --set plan.channels.{index}.scheme=zscore)"
        )
    clipped = f"Hounsfield units may be clipped first (override: --set plan.channels.{index}.scheme=ct)"
    return f"channel {index} {channel.name!r} is normalised by z-score a volume" + (
        " (override: none)" if is_no_ct(channel.name) else f"; {clipped}"
    )


def say_step(batch: Sequence[int], seconds: float, memory: int, crowded: bool, costs: Costs) -> str:
    """What a step is thought to cost, and whether patches were left out for their memory."""
    limit = (
        f"; patches too large for the {_gib(costs.memory_bytes or 0)} here were left out" if crowded else ""
    )
    return (
        f"a step of {batch[0]} labelled and {batch[1]} unlabelled patches is estimated at "
        f"{seconds:.2f} s and {_gib(memory)} of memory ({costs.words}){limit}; `train` measures it "
        "(override: --set plan.patch=[...], plan.batch=[...] or plan.network.kind=unet)"
    )


def say_steps(steps: int | None, alone: int) -> list[str]:
    """What steps are taken to learn from, where fewer are planned than labels ``alone`` would get."""
    if steps is None or steps >= alone:
        return []
    return [
        f"about {steps:,} steps learn from labelled and unlabelled scans, and label these anew now and then; "
        f"a method that learns from labels alone has {alone:,} (override: --set plan.steps=N)"
    ]


def _gib(number: int) -> str:
    return f"{number / 2**30:.1f} GiB"


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{n:.4g}" for n in numbers)
