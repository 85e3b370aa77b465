"""A number of labelled cases, written one way: it names folders, and runs are compared by it."""

from __future__ import annotations

from semivox.cohort import COUNT


def one_way(labeled: str) -> str:
    """``"03"`` -> ``"3"``, ``"07p@01"`` -> ``"7p@1"``; any other text, such as a file's path, as it is."""
    match = COUNT.fullmatch(labeled.strip())
    if match is None:
        return labeled
    seed = "" if match[3] is None else f"@{int(match[3])}"
    return f"{int(match[1])}{match[2]}{seed}"
