"""The run whose weights another one begins with: whether it fits, and what is recorded of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semivox.cohort import Cohort, Task, channels_differ, classes_differ
from semivox.contents import Cases, Roles
from semivox.errors import DataError
from semivox.files import read_json
from semivox.inference.weights import read_card


def parent_of(run: Path, cohort: Cohort, labeled: int, fresh_heads: bool = False) -> dict[str, Any]:
    """What a run on ``cohort`` with ``labeled`` labelled cases records of the run it begins with.

    ``fresh_heads``: only what lies before the heads is taken, fitted to the channels, so these and the
    classes may be others.

    Returns
    -------
    ``path``, ``model_id``, ``method``, ``steps``, ``undertrained`` and ``labeled_then`` of that run (None
    where its ``cases.json`` is gone), ``labeled_now`` and ``fresh_heads``.

    Raises
    ------
    DataError
        It holds no model, or, with its heads, one of other channels or classes. Whether the networks are
        alike shows when they are built (:func:`semivox.inference.load_network`).
    """
    card = read_card(run)
    then, now = Task.of_card(card), Task.of(cohort)
    for what, differ, found, expected in (
        ("channels", channels_differ(now, then), then.channels, now.channels),
        ("classes", classes_differ(now, then, all_of_them=True), then.classes, now.classes),
    ):
        if differ and not fresh_heads:
            raise DataError(
                f"the run to start from has other {what}",
                path=run,
                found=_told(found),
                expected=_told(expected),
                remedy="if only names differ, take that run's in dataset.json; to begin with all but its "
                "heads --set run.fresh_heads=true; else leave out --init",
            )
    cases = run / "cases.json"
    rows = read_json(cases, kind=Roles)["cases"] if cases.is_file() else None
    return {
        "path": str(run),
        "model_id": card["model_id"],
        "method": card["method"],
        "steps": card["steps"],
        "undertrained": card.get("undertrained"),
        "labeled_then": None if rows is None else sum(row["role"] == "labeled" for row in rows),
        "labeled_now": labeled,
        "fresh_heads": fresh_heads,
    }


def learned_by(run: Path) -> list[str]:
    """Identities of the scans whose labels ``run`` has learned from, and those whose it began with; none
    where its ``cases.json`` is gone."""
    path = run / "cases.json"
    if not path.is_file():
        return []
    record = read_json(path, kind=Cases)
    rows = [row for row in record["cases"] if row["role"] == "labeled"]
    own = [digest for row in rows for key in ("sha256", "files_sha256") if (digest := row.get(key))]
    return sorted({*own, *(record.get("learned_before") or ())})


def _told(names: Any) -> str:
    listed = [f"{value} {name}" for value, name in names.items()] if isinstance(names, dict) else names
    return ", ".join(listed)
