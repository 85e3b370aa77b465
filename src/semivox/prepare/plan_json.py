"""The plan as ``plan.json``: written whole or not at all, read with every field checked."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semivox.errors import SettingsError
from semivox.files import read_json, write_json
from semivox.prepare.plan import FORMAT, NORMS, Plan
from semivox.settings import plain


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
    hints = typing.get_type_hints(kind)
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


def _check(plan: Plan, path: Path | None) -> None:
    def need(holds: bool, fault: str, found: object) -> None:
        if not holds:
            raise SettingsError(fault, path=path, found=found)

    need(plan.dims in (2, 3), "plan.dims is neither 2 nor 3", plan.dims)
    need(sorted(plan.axes) == list(range(plan.dims)), "plan.axes is no permutation of the axes", plan.axes)
    for name in ("native_spacing", "spacing", "shape", "patch"):
        entry = getattr(plan, name)
        fits = len(entry) == plan.dims and min(entry) > 0
        need(fits, f"plan.{name} needs {plan.dims} positive numbers", entry)
    net = plan.network
    levels = len(net.features)
    need(net.norm in NORMS, f"plan.network.norm is neither {' nor '.join(NORMS)}", net.norm)
    need(levels > 0 and len(net.kernels) == levels, "plan.network needs a kernel for each level", net.kernels)
    need(len(net.strides) == levels - 1, "plan.network needs a stride between levels", net.strides)
    sizes = {len(entry) for entry in (*net.kernels, *net.strides)}
    need(sizes == {plan.dims}, "plan.network's kernels and strides need one number an axis", sorted(sizes))
    uneven = any(p % m for p, m in zip(plan.patch, net.multiple, strict=True))
    need(not uneven, f"plan.patch is no multiple of the network's downsampling {net.multiple}", plan.patch)
    need(min(plan.batch) >= 0 and sum(plan.batch) > 0, "plan.batch is empty", plan.batch)
    need(plan.format == FORMAT or plan.format > 0, "plan.format is not a positive number", plan.format)
