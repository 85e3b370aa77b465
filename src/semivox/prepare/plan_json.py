"""The plan as ``plan.json``: written whole or not at all, read with every field checked."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from semivox.errors import SettingsError
from semivox.files import read_json, write_json
from semivox.prepare.plan import FORMAT, KINDS, MOST, NORMS, SCHEMES, ChannelPlan, Plan
from semivox.settings import plain

WIDEST, MOST_FEATURES = 64, 2**14
"""A kernel or stride, and a level's channels, beyond which nobody trains."""


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain dicts, lists, strings and numbers, in the order of its fields."""
    found: dict[str, Any] = plain(plan)
    return found


def plan_from_json(source: Mapping[str, Any] | str | Path) -> Plan:
    """A plan from a dict or a ``plan.json``.

    Raises
    ------
    SettingsError
        Unreadable file, a newer format, an unknown, missing or wrongly typed field, or values that do not fit
        each other (a patch that is no multiple of the network's downsampling).
    """
    path = None if isinstance(source, Mapping) else Path(source)
    data: Mapping[str, Any] = read_json(path, FORMAT) if path else typing.cast(Mapping[str, Any], source)
    version = data.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise SettingsError(
            "a plan of another format", path=path, found=version, expected=f"format {FORMAT} or older",
            remedy="update semivox, or make the plan again with `semivox plan`",
        )  # fmt: skip
    plan: Plan = from_plain(data, Plan, "plan", path)
    _check(plan, path)
    return plan


def disagreements(plan: Plan, override: Mapping[str, Any]) -> list[str]:
    """What of ``override`` (dotted names of plan fields, as the planner takes them) the plan lacks."""
    found = []
    for name, wanted in override.items():
        value: Any = plan_to_json(plan)
        try:
            for part in name.split("."):
                value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            value = "nothing"
        if value != plain(wanted):
            found.append(f"plan.{name}: {value} in the file, {plain(wanted)} asked for")
    return found


def write_plan(plan: Plan, path: str | Path) -> Path:
    """Write ``plan.json``, whole or not at all."""
    write_json(Path(path), plan_to_json(plan))
    return Path(path)


def from_plain(value: Any, kind: Any, name: str, path: Path | None) -> Any:
    """``value`` as the type the plan's dataclasses declare, or a SettingsError that names the field."""
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind, name, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # X | None
        return None if value is None else from_plain(value, arguments[0], name, path)
    if origin is tuple:
        if isinstance(value, list | tuple) and arguments[1:] == (...,):
            return tuple(from_plain(v, arguments[0], f"{name}.{i}", path) for i, v in enumerate(value))
        if isinstance(value, list | tuple) and len(value) == len(arguments):
            pairs = enumerate(zip(value, arguments, strict=True))
            return tuple(from_plain(v, a, f"{name}.{i}", path) for i, (v, a) in pairs)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    expected = getattr(kind, "__name__", str(kind)) if origin is None else str(kind)
    raise SettingsError(f"{name} is of the wrong type", path=path, found=repr(value), expected=expected)


def _dataclass(value: Any, kind: Any, name: str, path: Path | None) -> Any:
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{name} is of the wrong type", path=path, found=repr(value), expected="an object"
        )
    hints = _hints(kind)
    for key in value:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            remedy = f"did you mean {near[0]!r}?" if near else None
            raise SettingsError(f"{name} has no field {key!r}", path=path, remedy=remedy)
    missing = [
        f.name for f in dataclasses.fields(kind) if f.name not in value and f.default is dataclasses.MISSING
    ]
    if missing:
        raise SettingsError(f"{name} lacks {', '.join(missing)}", path=path)
    return kind(**{key: from_plain(v, hints[key], f"{name}.{key}", path) for key, v in value.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's fields; to find them takes longer than to check a value."""
    return typing.get_type_hints(kind)


Need = Callable[[bool, str, object], None]
"""Raises SettingsError with the fault and what was found, unless the first holds."""


def _check(plan: Plan, path: Path | None) -> None:
    def need(holds: bool, fault: str, found: object) -> None:
        if not holds:
            raise SettingsError(fault, path=path, found=found)

    _check_grid(plan, need)
    _check_network(plan, need)
    for number, channel in enumerate(plan.channels):
        need(_normalises(channel), f"plan.channels.{number} is no normalisation", channel)
    values = [each.value for each in plan.classes]
    need(len(values) == len(set(values)), "plan.classes has a label value twice", values)
    for number, region in enumerate(plan.regions):
        fits = region.written in region.parts and set(region.parts) <= set(values)
        need(fits, f"plan.regions.{number} is made of other values than plan.classes", region)
    for name in ("steps", "budget_seconds", "format", "rung"):
        value = getattr(plan, name)
        need(value is None or value > 0, f"plan.{name} is not a positive number", value)
    need(plan.step_seconds >= 0, "plan.step_seconds is negative", plan.step_seconds)


def _check_grid(plan: Plan, need: Need) -> None:
    need(plan.dims in (2, 3), "plan.dims is neither 2 nor 3", plan.dims)
    need(sorted(plan.axes) == list(range(plan.dims)), "plan.axes is no permutation of the axes", plan.axes)
    for name in ("native_spacing", "spacing", "shape", "patch"):
        entry = getattr(plan, name)
        fits = len(entry) == plan.dims and min(entry) > 0
        need(fits, f"plan.{name} needs {plan.dims} positive numbers", entry)
    need(min(plan.batch) >= 0 and sum(plan.batch) > 0, "plan.batch is empty", plan.batch)
    for name, most in MOST.items():
        entry = getattr(plan, name)
        need(math.prod(max(n, 1) for n in entry) <= most, f"plan.{name} is above {most:,} in all", entry)


def _check_network(plan: Plan, need: Need) -> None:
    net = plan.network
    levels, entries = len(net.features), (*net.kernels, *net.strides)
    need(net.kind in KINDS, f"plan.network.kind is neither {' nor '.join(KINDS)}", net.kind)
    need(net.norm in NORMS, f"plan.network.norm is neither {' nor '.join(NORMS)}", net.norm)
    need(0 < levels == len(net.kernels), "plan.network needs a kernel for each level", net.kernels)
    need(len(net.strides) == levels - 1, "plan.network needs a stride between levels", net.strides)
    sizes = {len(entry) for entry in entries}
    need(sizes == {plan.dims}, "plan.network's kernels and strides need one number an axis", sorted(sizes))
    for name, numbers, most in (
        ("kernels and strides", [n for entry in entries for n in entry], WIDEST),
        ("features", net.features, MOST_FEATURES),
    ):
        fits = all(1 <= n <= most for n in numbers)
        need(fits, f"plan.network's {name} are not numbers from 1 to {most:,}", numbers)
    uneven = any(p % m for p, m in zip(plan.patch, net.multiple, strict=True))
    need(not uneven, f"plan.patch is no multiple of the network's downsampling {net.multiple}", plan.patch)


def _normalises(channel: ChannelPlan) -> bool:
    if channel.scheme != "ct":
        return channel.scheme in SCHEMES
    low, high, mean, std = channel.low, channel.high, channel.mean, channel.std
    return low is not None and high is not None and mean is not None and std is not None and low <= high
