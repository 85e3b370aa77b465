"""Lengths of time as people write them."""

from __future__ import annotations

import re

from semivox.errors import SettingsError

LENGTHS = "90s, 30m, 2h or 1h30m"
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """``"90"``, ``"90s"``, ``"30m"``, ``"2h"``, ``"1h30m"`` -> seconds. Raises ValueError otherwise."""
    compact = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        seconds = float(compact)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", compact):
        seconds = sum(float(n) * _SECONDS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([smhd])", compact))
    else:
        raise ValueError(f"{text!r} is no length of time; write {LENGTHS}")
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time at all")
    return seconds


def budget_seconds(budget: str | float) -> float:
    """Seconds of a budget given as a number or as text; SettingsError for what is no time."""
    try:
        return parse_duration(str(budget))
    except ValueError:
        raise SettingsError(
            "the budget is no length of time",
            found=repr(budget),
            expected=f"more than no time: {LENGTHS}, or a number of seconds",
        ) from None


def show_duration(seconds: float) -> str:
    """``5 s``, ``3 m 20 s``, ``2 h 05 m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
