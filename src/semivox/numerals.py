"""Numbers as people write them."""

from __future__ import annotations

import re


def whole_number(text: object) -> int | None:
    """The number that up to 18 plain digits (or an int) say, 0 or more; None for anything else, such as a
    superscript."""
    written = str(text).strip()
    return int(written) if re.fullmatch(r"[0-9]{1,18}", written) else None


def show_percent(share: float) -> str:
    """``80 %``, ``83.3 %``."""
    return f"{round(100 * share, 1):g} %"


def show_number(number: float, digits: int = 3, sign: str = "") -> str:
    """``0.0123``, ``12.3``, ``1,523``: ``digits`` significant ones, or all those before the point.

    ``sign`` "+" shows that of positive numbers too. From 10^15 on, digits would say nothing: ``1.23e+18``.
    """
    if abs(number) >= 1e15:
        return f"{number:{sign}.{digits}g}"
    rounds_to_more = abs(number) >= 10**digits - 0.5  # there the general format takes an exponent
    return f"{number:{sign},.0f}" if rounds_to_more else f"{number:{sign}.{digits}g}"
