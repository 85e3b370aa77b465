"""Writes docs/reference/metrics.md from the rows in semivox.evaluation.metrics.

python docs/make_metrics.py
"""

from __future__ import annotations

from pathlib import Path

from semivox.evaluation import METRICS, Metric, policy_text
from semivox.evaluation.metrics import DIAGONAL

PAGE = Path(__file__).parent / "reference" / "metrics.md"

HEAD = """\
# Metrics

What `semivox evaluate` measures, class by class and case by case, on the scan's own grid. This page is made
from the source by `python docs/make_metrics.py`. [Add a metric](../how-to/add-a-metric.md) says how one
comes in.

*Name* is the one in [files](files.md#evaluation-file) and in Python, *heading* the one in tables, where a
number has *decimals*; files keep all digits. *Better* says which numbers are; an error with a sign says
nothing of that, so methods are not compared by it. *Both empty* and *one empty* are the values where
prediction and reference, or one of them, have no voxel of the class; "diagonal" is that of the image, or 0
with `--policy literature`. A number that does not exist is null.

Tables show distances in millimetres where the spacing of the scans is known, else in voxels. Where
the axes of a scan are not at right angles (a tilted gantry), distances and volumes follow its affine.
"""
BETTER = {"higher": "higher", "lower": "lower", "zero": "near 0"}
COLUMNS = ("name", "heading", "decimals", "better", "both empty", "one empty", "spacing", "definition")
RULES = ("surface", "vox", "ignore", "annotated", "mean")


def page() -> str:
    """The whole page."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, METRICS.values())]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    rules = policy_text("default", 2.0, spacing_known=True)
    said = [f"* *{name}*: {rules[name]}" for name in RULES]
    return "\n".join([HEAD, *table, "", "For all of them:", "", *said]) + "\n"


def _cells(metric: Metric) -> tuple[str, ...]:
    empty = ("as defined", "as defined")
    if metric.worst is not None:
        worst = metric.worst if metric.worst == DIAGONAL else f"{metric.worst:g}"
        empty = (f"{metric.best:g}", worst)
    needed = "needed" if metric.needs_spacing else ""
    own = (f"`{metric.name}`", metric.title(), str(metric.decimals), BETTER[metric.better])
    return (*own, *empty, needed, metric.definition)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
