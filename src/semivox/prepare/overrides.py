"""What replaces the planner's choice: which names there are, and that their values fit the cohort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from semivox.errors import SettingsError
from semivox.machine import case_bytes
from semivox.prepare.fingerprint import Fingerprint, rung_spacing
from semivox.prepare.plan_checks import as_field, expected_instead
from semivox.settings import unknown_name

OVERRIDES = (
    "rung", "spacing", "patch", "batch", "steps", "network.kind", "network.norm", "channels.N.scheme",
)  # fmt: skip

LEAST_SIDE = 2
"""Voxels along each axis: a network normalises over those of a crop, and of one there is no deviation."""
FINEST = 1e-6
"""Of the scans' own spacing: beyond it voxels cannot even be counted."""


def checked_overrides(fingerprint: Fingerprint, override: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by their dotted names, as the planner takes them; lists become tuples, and texts that are
    numbers become these.

    Raises SettingsError for an unknown name, or a value that does not fit the cohort.
    """
    dims, channels = fingerprint.dims, range(len(fingerprint.channels))
    names = [n for n in OVERRIDES if "N" not in n] + [f"channels.{i}.scheme" for i in channels]
    wish: dict[str, Any] = {}
    for name, value in override.items():
        if name not in names:
            raise unknown_name(f"plan.{name}", [f"plan.{n}" for n in names], "--set")
        typed = as_field(name, value)
        expected = expected_instead(name, typed, dims)
        if name == "rung" and (expected or typed < 1):  # of plans it is less where a finer spacing was given
            expected = "a number, 1 or more"
        elif name == "spacing" and not expected and min(typed) < FINEST * min(fingerprint.native_spacing):
            expected = f"at least {FINEST:g} of the scans' own, {fingerprint.native_spacing}"
        elif name == "patch" and not expected and math.prod(typed) < LEAST_SIDE**dims:
            expected = f"at least {LEAST_SIDE**dims} voxels in all"  # of tiny scans a plan has less
        elif name == "network.kind" and (typed, dims) == ("vnet", 2):
            expected = "unet"  # nobody plans the other in 2D, though a file may have it
        if expected:
            raise SettingsError(f"plan.{name} does not fit", found=repr(value), expected=expected)
        wish[name] = typed
    _refuse_grids(fingerprint, wish)
    return wish


def _refuse_grids(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> None:
    """Raise SettingsError for a rung or a spacing at which nothing of the scans is left, or too much."""
    name = next((name for name in ("spacing", "rung") if name in wish), None)
    if name is None:
        return
    native = fingerprint.native_spacing
    spacing = wish["spacing"] if name == "spacing" else rung_spacing(native, wish["rung"])
    sizes, usual = [case.shape_at(spacing) for case in fingerprint.cases], fingerprint.median_shape(spacing)
    most = _largest_structure(fingerprint, spacing)
    coarser = math.prod(spacing) > math.prod(native)
    if coarser and (math.prod(usual) < LEAST_SIDE**fingerprint.dims or most < 1):
        raise SettingsError(
            f"plan.{name} leaves nothing of the scans to learn from",
            found=f"{_written(wish[name])}: scans of {_by(usual)}, "
            f"the largest structure of {most:.2g} voxels",
            expected=f"at least {LEAST_SIDE**fingerprint.dims} voxels of a scan and 1 of a structure",
            remedy=f"give less; the scans' own voxels are {_by(native)}. Left out, the planner chooses among "
            f"the rungs {', '.join(f'{rung:g}' for rung in fingerprint.rungs)}",
        )
    planes = max(len(fingerprint.channels), len(fingerprint.values) + 1)
    needed, limit = 8 * planes * max(map(math.prod, sizes)), case_bytes()
    if math.prod(spacing) < math.prod(native) and needed > limit:
        raise SettingsError(
            f"the scans become too large at plan.{name}",
            found=f"{_written(wish[name])}: {_by(max(sizes, key=math.prod))} voxels, which need "
            f"{needed / 2**30:.3g} GiB",
            expected=f"at most {limit / 2**30:.3g} GiB; the scans' own voxels are {_by(native)}",
            remedy=f"give more, or leave plan.{name} out; SEMIVOX_CASE_MEMORY=24GiB allows more memory",
        )


def _largest_structure(fingerprint: Fingerprint, spacing: Sequence[float]) -> float:
    """Voxels at ``spacing`` of the structure that has most, in the median label that shows it; infinite where
    no label shows any."""
    found: dict[int, list[float]] = {}
    for case in fingerprint.labeled_cases:
        share = math.prod(case.shape_at(spacing)) / math.prod(case.shape)
        for k, count in enumerate(case.voxels):
            if count:
                found.setdefault(k, []).append(count * share)
    return max(map(median, found.values()), default=math.inf)


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else _by(value)
