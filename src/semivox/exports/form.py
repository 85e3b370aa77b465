"""What an exported network takes and gives, in words: for its card, and for the JSON in its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semivox.inference import Model
from semivox.prepare import PADDING_SHARE
from semivox.prepare.plan import ChannelPlan

AXES = ["right", "anterior", "superior"]


def form(model: Model) -> Iterator[str]:
    """The section of the card, as lines of Markdown."""
    plan = model.plan
    unit = "mm" if plan.spacing_known else "x the finest pixel"
    yield "## What it takes and gives"
    yield ""
    sizes = ", ".join("XYZ"[: plan.dims])
    yield f"* Input `image`: (batch, {len(model.channels)}, {sizes}) float32; each axis a"
    yield f"  multiple of {times(plan.network.multiple)}. Channels: {', '.join(model.channels)}."
    yield f"* {axes(model)}"
    for channel in plan.channels:
        yield f"* `{channel.name}`, before resampling: {normalisation(channel)}."
    yield f"* A voxel is {times(plan.spacing, '.4g')} {unit}: area averages where a scan is finer, linear"
    yield "  interpolation where it is coarser, over the same field of view."
    yield f"* {windows(model)}"
    yield f"* Output `probabilities`: (batch, {len(model.values) + 1}, ...), which sum to 1:"
    named = [(0, "background"), *((value, model.classes[value]) for value in model.values)]
    outputs = [f"{i} is {name} (label value {value})" for i, (value, name) in enumerate(named)]
    yield f"  {'; '.join(outputs)}."
    yield from _on_the_scan(model)


def axes(model: Model) -> str:
    """Which way the input's axes point."""
    if model.plan.dims == 2:
        return "X is the column of a pixel, Y its row, from the left and from the top: a picture transposed."
    return f"Axes point, in this order, to {', '.join(AXES[axis] for axis in model.plan.axes)}."


def normalisation(channel: ChannelPlan) -> str:
    """What :func:`semivox.prepare.normalise` does to a channel."""
    if channel.scheme == "ct":
        low, high, mean, std = channel.low, channel.high, channel.mean, channel.std
        return f"clipped to {low:g} ... {high:g}, minus {mean:.9g}, divided by {std:.9g}"
    return (
        "each scan minus its mean, divided by its standard deviation, both of all voxels, or, if "
        f"{PADDING_SHARE:.0%} or more of them equal the smallest value exactly (padding, air), of the "
        "others, unless these are all alike; a constant scan is 0"
    )


def windows(model: Model) -> str:
    """How ``predict`` shows it a scan."""
    return (
        f"It has learned from patches of {times(model.plan.patch)} voxels, and `semivox predict` shows it "
        "windows of that size. Along an axis on which a scan is shorter, it is padded with 0 on both sides "
        "to the next multiple (an odd voxel at the end), and the window is as long as that. Along others "
        "there are the fewest windows whose beginnings are no further apart than half their length, rounded "
        "down: evenly spaced from 0 to the last that fits, each rounded, halves to the even number. What "
        "they say of a voxel is averaged."
    )


def _on_the_scan(model: Model) -> Iterator[str]:
    if not model.regions:
        yield "* `semivox predict` interpolates probabilities to the scan's own grid, and lets the largest"
        yield "  win there."
    else:
        yield "* `semivox predict` interpolates probabilities to the scan's own grid, and finds a region"
        yield "  there where its outputs have more than half together. A mask takes the value in brackets,"
        yield "  later regions over earlier ones:"
    for region in model.regions.each:
        outputs = " + ".join(str(model.values.index(value) + 1) for value in region.values)
        yield f"  * {region.name}: outputs {outputs} (label value {region.written})"
    plan = model.plan
    together = ["all foreground"] * plan.together + [plan.judged[k - 1].name for k in plan.in_one_piece]
    if together:
        yield f"* Every training label showed {' and '.join(together)} in one piece; `semivox predict` keeps"
        yield "  one. The network alone does not."


def times(numbers: Sequence[float], form: str = "") -> str:
    """Numbers of the axes, such as ``56 x 56 x 8``."""
    return " x ".join(format(number, form) for number in numbers)
