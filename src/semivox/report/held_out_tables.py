"""The tables of held-out cases, by class and by case: for the page, and as CSV with unrounded numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from semivox.contents import MEAN_OF_CLASSES
from semivox.evaluation import (
    DICE,
    FOREGROUND,
    METRICS,
    Metric,
    case_value,
    empty_pairs,
    hausdorff,
    metrics_for_people,
    spacing_was_known,
)
from semivox.report.run_record import HeldOut

VOLUME_ERROR = METRICS["volume_error_rel"]
OWN_COLUMNS = 4
"""Up to so many classes have a column of their own in the table of cases."""
MARK = "*"
"""Beside a distance that counts an empty mask as the image's diagonal."""


def class_table(content: Mapping[str, Any], voxels: str) -> dict[str, Any]:
    """A row a class: each metric's mean and interval."""
    keys = [*content["classes"], *([FOREGROUND] if len(content["classes"]) > 1 else [])]
    mean, ci95 = content["mean"], content["ci95"]
    shown = metrics_for_people(spacing_was_known(mean.values()))
    columns = [m for m in shown if m.in_pages and any(mean[key].get(m.name) is not None for key in keys)]
    tolerance = content.get("policy", {}).get("tolerance_mm")
    empty = {value for _, value in empty_pairs(content)}

    def estimate(key: str, metric: Metric) -> dict[str, Any]:
        value, interval = mean[key].get(metric.name), ci95[key].get(metric.name)
        far = metric.diagonal_where_empty and (key in empty or (key == FOREGROUND and bool(empty)))
        return {
            "value": None if value is None else metric.scale * value,
            "ci": None if interval is None else [metric.scale * end for end in interval],
            "decimals": metric.decimals,
            "mark": MARK if far and value is not None else "",
            "label": metric.title(voxels, tolerance),
        }

    return {
        "columns": [metric.title(voxels, tolerance) for metric in columns],
        "rows": [
            {
                "name": content["classes"].get(key, MEAN_OF_CLASSES),
                "cells": [estimate(key, metric) for metric in columns],
            }
            for key in keys
        ],
    }


def case_table(held: HeldOut, links: Mapping[str, str], voxels: str) -> dict[str, Any]:
    """A row a case, lowest Dice first, those without one at the end. ``links``: case -> id of its picture."""
    cases = (held.content or {}).get("cases", {})
    values = list(held.classes)
    own = values if 1 < len(values) <= OWN_COLUMNS else []
    distance = hausdorff(in_mm(held))
    empty = {case for case, _ in empty_pairs(held.content)} if held.content else set()
    in_ml = any(total(row, "volume_ml") is not None for row in held.rows.values())
    promised = any(row.get("promise") for row in held.rows.values())
    size = "volume_ml" if in_ml else "voxels"
    rows = []
    for case in dict.fromkeys([*cases, *held.rows]):
        found, row = cases.get(case, {}), held.rows.get(case, {})
        error = _or_none(case_value(found, VOLUME_ERROR.name))
        cells = [
            (_or_none(case_value(found, DICE.name)), DICE.decimals, ""),
            *((_or_none(case_value(found, DICE.name, value)), DICE.decimals, "") for value in own),
            *((said, DICE.decimals, "") for said in _promised(row) if promised),
            (
                _or_none(case_value(found, distance.name)),
                distance.decimals,
                MARK if case in empty else "",
            ),
            (total(row, size), 1 if in_ml else 0, ""),
            (None if error is None else VOLUME_ERROR.scale * error, VOLUME_ERROR.decimals, ""),
            (row.get("mean_entropy"), 3, ""),
        ]
        flag, reason = row.get("flag"), row.get("reason") or ""
        rows.append({"case": case, "link": links.get(case), "cells": cells, "flag": flag, "reason": reason})
    rows.sort(key=lambda row: math.inf if row["cells"][0][0] is None else row["cells"][0][0])
    columns = [
        DICE.title(),
        *(held.classes[value] for value in own),
        *(f"{DICE.title()}, {what}" for what in ("expected", "at least") if promised),
        distance.title(voxels),
        "Volume, ml" if in_ml else voxels.capitalize(),
        VOLUME_ERROR.title(),
        "Entropy",
    ]
    return {"columns": columns, "rows": rows}


def _promised(row: Mapping[str, Any]) -> list[float | None]:
    """The Dice that was expected before anybody measured it, and the one that was promised (0: none)."""
    said = ((row.get("promise") or {}).get("dice") or {}).get(FOREGROUND, {})
    return [said.get("expected"), said.get("at_least")]


def empty_note(content: Mapping[str, Any]) -> str:
    """What the mark means; empty where no mask is."""
    pairs = empty_pairs(content)
    masks = sum(len(classes) for classes in content["cases"].values())
    if not pairs:
        return ""
    named = ", ".join(f"{case} ({content['classes'][value]})" for case, value in pairs[:5])
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return (
        f"{MARK} One of the two masks is empty in {len(pairs)} of {masks}: {named}{more}. The distance is "
        "the image's diagonal there, and the mean counts it."
    )


def classes_csv(content: Mapping[str, Any]) -> str:
    """A row a class and metric; ``foreground`` is the mean of classes."""
    rows = [
        [content["classes"].get(key, key), metric, value, *(content["ci95"][key].get(metric) or ("", ""))]
        for key, metrics in content["mean"].items()
        for metric, value in metrics.items()
    ]
    return _csv(["class", "metric", "mean", "low", "high"], rows)


def cases_csv(held: HeldOut) -> str:
    """A row a case and class, with what ``predict`` said of the case."""
    content = held.content or {}
    measured, patients = content.get("cases", {}), content.get("patients", {})
    names = [m for m in METRICS if any(m in row for rows in measured.values() for row in rows.values())]
    rows = []
    for case in dict.fromkeys([*measured, *held.rows]):
        said = held.rows.get(case, {})
        for value, name in held.classes.items():
            found = measured.get(case, {}).get(value, {})
            size = [(said.get(key) or {}).get(value) for key in ("voxels", "volume_ml")]
            about = [*_promised(said), said.get("mean_entropy"), said.get("flag"), said.get("reason")]
            rows.append([case, patients.get(case, ""), name, *(found.get(m) for m in names), *size, *about])
    last = ["dice_expected", "dice_at_least", "mean_entropy", "flag", "reason"]
    header = ["case", "patient", "class", *names, "voxels", "volume_ml", *last]
    return _csv(header, rows)


def in_mm(held: HeldOut) -> bool:
    """Whether distances were measured in mm."""
    cases = (held.content or {}).get("cases", {})
    return spacing_was_known(row for rows in cases.values() for row in rows.values())


def total(row: Mapping[str, Any], key: str) -> float | None:
    """The sum over classes; None where one is not known."""
    numbers = list((row.get(key) or {}).values())
    return None if not numbers or any(n is None for n in numbers) else float(sum(numbers))


def _csv(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
