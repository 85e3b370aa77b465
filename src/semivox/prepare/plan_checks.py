"""What the values of a plan may be, whoever gave them: the planner, ``--set``, or a file that was edited by
hand. What the scans themselves ask for is elsewhere (:mod:`semivox.prepare.overrides` and the runs)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from semivox.errors import SettingsError
from semivox.prepare.plan import KINDS, MOST, NORMS, SCHEMES, ChannelPlan, ClassPlan, Plan

WIDEST, MOST_FEATURES = 64, 2**14
"""A kernel or stride, and a level's channels, beyond which nobody trains."""
WHOLE = ("patch", "batch", "steps")
REAL = ("rung", "spacing")
"""Fields that are settings too, and whole numbers or any; the others are names."""
ANEW = "correct the file, or make it anew: semivox plan DATA --out plan.json"


def as_field(name: str, value: Any) -> Any:
    """A setting as the plan holds the field ``name``: lists as tuples, and a text as the number that it is,
    since YAML takes 1e9 for a text. What is no number is left as it is."""
    if isinstance(value, list | tuple):
        return tuple(as_field(name, each) for each in value)
    if name not in (*WHOLE, *REAL) or isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return value
    return int(number) if name in WHOLE and number.is_integer() else number


def expected_instead(name: str, value: Any, dims: int) -> str | None:
    """What the field ``name``, which is a setting too, should be where ``value`` is not that; else None."""
    choices = {"kind": KINDS, "norm": NORMS, "scheme": SCHEMES}
    if (allowed := choices.get(name.rpartition(".")[2])) is not None:
        return None if value in allowed else " or ".join(allowed)
    if name in ("rung", "steps"):
        whole = "whole " if name == "steps" else ""
        return None if _positive(value, name) else f"a positive {whole}number"
    count = 2 if name == "batch" else dims
    many = value if isinstance(value, tuple) else ()
    if len(many) != count or not all(_positive(each, name) for each in many):
        meant = ", labelled and unlabelled crops a step" if name == "batch" else ""
        such = {"batch": 2, "patch": 64, "spacing": 1.0}[name]
        return f"{count} positive numbers{meant}, such as {[such] * count}"
    if name in MOST and math.prod(value) > MOST[name]:
        return f"at most {MOST[name]:,} in all"
    return None


def _positive(value: Any, name: str) -> bool:
    kind = int if name in WHOLE else int | float
    return isinstance(value, kind) and not isinstance(value, bool) and 0 < value < math.inf


Need = Callable[[bool, str, object], None]
"""Raises SettingsError with the fault and what was found, unless the first holds."""


def check_plan(plan: Plan, path: Path | None = None) -> None:
    """Raise SettingsError, which names the field and the file ``path``, where a value is none that a plan can
    have, or does not fit the others."""

    def need(holds: bool, fault: str, found: object) -> None:
        if not holds:
            raise SettingsError(fault, path=path, found=found, remedy=ANEW if path else None)

    need(plan.dims in (2, 3), "plan.dims is neither 2 nor 3", plan.dims)
    for name, value in _settable(plan):
        if expected := expected_instead(name, value, plan.dims):
            raise SettingsError(
                f"plan.{name} does not fit",
                path=path,
                found=repr(value),
                expected=expected,
                remedy=ANEW if path else None,
            )
    _check_grid(plan, need)
    _check_network(plan, need)
    for number, channel in enumerate(plan.channels):
        need(_normalises(channel), f"plan.channels.{number} is no normalisation", channel)
    values = [each.value for each in plan.classes]
    need(len(values) == len(set(values)), "plan.classes has a label value twice", values)
    for number, region in enumerate(plan.regions):
        fits = region.written in region.parts and set(region.parts) <= set(values)
        need(fits, f"plan.regions.{number} is made of other values than plan.classes", region)
    _check_classes("classes", plan.classes, need)
    _check_classes("regions", plan.regions, need)
    for name in ("budget_seconds", "format"):
        value = getattr(plan, name)
        need(value is None or value > 0, f"plan.{name} is not a positive number", value)
    need(plan.step_seconds >= 0, "plan.step_seconds is negative", plan.step_seconds)


def _settable(plan: Plan) -> Iterator[tuple[str, Any]]:
    """Name and value of every field that is a setting too."""
    yield from (("rung", plan.rung), ("spacing", plan.spacing), ("patch", plan.patch), ("batch", plan.batch))
    if plan.steps is not None:
        yield "steps", plan.steps
    yield from (("network.kind", plan.network.kind), ("network.norm", plan.network.norm))
    for number, channel in enumerate(plan.channels):
        yield f"channels.{number}.scheme", channel.scheme


def _check_classes(which: str, classes: tuple[ClassPlan, ...], need: Need) -> None:
    for number, shown in enumerate(classes):
        ceiling, name = shown.dice_ceiling, f"plan.{which}.{number}"
        need(0 <= ceiling <= 1, f"{name}.dice_ceiling is no Dice, which is from 0 to 1", ceiling)
        need(shown.voxels >= 0, f"{name}.voxels is negative", shown.voxels)


def _check_grid(plan: Plan, need: Need) -> None:
    need(sorted(plan.axes) == list(range(plan.dims)), "plan.axes is no permutation of the axes", plan.axes)
    for name in ("native_spacing", "shape"):
        entry = getattr(plan, name)
        fits = len(entry) == plan.dims and min(entry) > 0
        need(fits, f"plan.{name} needs {plan.dims} positive numbers", entry)


def _check_network(plan: Plan, need: Need) -> None:
    net = plan.network
    levels, entries = len(net.features), (*net.kernels, *net.strides)
    need(levels >= 2, "plan.network needs 2 levels or more", net.features)
    need(levels == len(net.kernels), "plan.network needs a kernel for each level", net.kernels)
    need(len(net.strides) == levels - 1, "plan.network needs a stride between levels", net.strides)
    sizes = {len(entry) for entry in entries}
    need(sizes == {plan.dims}, "plan.network's kernels and strides need one number an axis", sorted(sizes))
    for name, numbers, most in (
        ("kernels and strides", [n for entry in entries for n in entry], WIDEST),
        ("features", net.features, MOST_FEATURES),
    ):
        fits = all(1 <= n <= most for n in numbers)
        need(fits, f"plan.network's {name} are not numbers from 1 to {most:,}", numbers)
    odd = all(n % 2 for kernel in net.kernels for n in kernel)
    need(odd, "plan.network's kernels are not odd: an even one has no middle", net.kernels)
    uneven = any(p % m for p, m in zip(plan.patch, net.multiple, strict=True))
    need(not uneven, f"plan.patch is no multiple of the network's downsampling {net.multiple}", plan.patch)


def _normalises(channel: ChannelPlan) -> bool:
    if channel.scheme != "ct":
        return True
    low, high, mean, std = channel.low, channel.high, channel.mean, channel.std
    return low is not None and high is not None and mean is not None and std is not None and low <= high
