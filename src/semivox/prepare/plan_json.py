"""The plan as ``plan.json``: written whole or not at all, read with every field checked."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from semivox.errors import SettingsError
from semivox.files import read_json, write_json
from semivox.prepare.plan import FORMAT, Plan
from semivox.prepare.plan_checks import as_field, check_plan
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
        Unreadable file, a newer format, an unknown, missing or wrongly typed field, or values that no plan
        has (:func:`semivox.prepare.plan_checks.check_plan`).
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
    check_plan(plan, path)
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
        asked = plain(as_field(name, wanted))
        if value != asked:
            found.append(f"plan.{name}: {value} in the file, {asked} asked for")
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
