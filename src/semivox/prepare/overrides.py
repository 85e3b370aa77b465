"""What replaces the planner's choice: which names there are, and that their values fit the cohort."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from semivox.errors import SettingsError
from semivox.prepare.fingerprint import Fingerprint
from semivox.prepare.plan import MOST, NORMS
from semivox.settings import unknown_name

OVERRIDES = (
    "rung", "spacing", "patch", "batch", "steps", "network.kind", "network.norm", "channels.N.scheme",
)  # fmt: skip


def checked_overrides(fingerprint: Fingerprint, override: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by their dotted names, as the planner takes them; lists become tuples.

    Raises SettingsError for an unknown name, or a value that does not fit the cohort.
    """
    dims, channels = fingerprint.dims, range(len(fingerprint.channels))
    names = [n for n in OVERRIDES if "N" not in n] + [f"channels.{i}.scheme" for i in channels]
    wish: dict[str, Any] = {}
    for name, value in override.items():
        if name not in names:
            raise unknown_name(f"plan.{name}", [f"plan.{n}" for n in names], "--set")
        if name == "network.kind":
            expected, fits = "vnet or unet", value == "unet" or (value == "vnet" and dims == 3)
        elif name == "network.norm":
            expected, fits = " or ".join(NORMS), value in NORMS
        elif name.endswith(".scheme"):
            expected, fits = "zscore or ct", value in ("zscore", "ct")
        elif name == "rung":
            expected, fits = "a number, 1 or more", _positive(value) and value >= 1
        elif name == "steps":
            expected, fits = "a positive whole number", _positive(value) and value == int(value)
        else:
            count = 2 if name == "batch" else dims
            expected = f"{count} positive numbers, such as {[64] * count}"
            fits = isinstance(value, list | tuple) and len(value) == count and all(map(_positive, value))
            fits = fits and (name == "spacing" or all(v == int(v) for v in value))
            if fits and name != "spacing" and math.prod(value) > MOST[name]:
                expected, fits = f"at most {MOST[name]:,} in all", False
        if not fits:
            raise SettingsError(f"plan.{name} does not fit", found=repr(value), expected=expected)
        whole = name in ("patch", "batch", "steps")
        if isinstance(value, list | tuple):
            wish[name] = tuple(int(v) if whole else float(v) for v in value)
        else:
            wish[name] = int(value) if whole else float(value) if name == "rung" else value
    return wish


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
