"""Whether a folder and a model, or two folders, are of one task: the one rule about channels and classes.

Names that nobody declared (``channel_0``, ``class_1``) are made up, so they contradict no name. Their number
and the label values count all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from semivox.cohort.case import Cohort
from semivox.cohort.regions import NONE, Regions
from semivox.errors import DataError


@dataclass(frozen=True)
class Task:
    """What a network takes and gives: channels in order, and label value -> name. ``inferred``: which of
    "channels" and "classes" have names that nobody declared. ``regions``: of what they are made, by name."""

    channels: tuple[str, ...]
    classes: Mapping[int, str]
    inferred: frozenset[str] = frozenset()
    regions: Regions = NONE

    @classmethod
    def of(cls, cohort: Cohort) -> Task:
        return cls(tuple(cohort.channels), dict(cohort.classes), cohort.inferred, cohort.regions)

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Task:
        """Of a model's ``model.json``. Earlier versions did not say what was inferred; the names show it."""
        channels = tuple(map(str, card["channels"]))
        classes = {int(value): str(name) for value, name in card["labels"].items()}
        known = card.get("inferred")
        if known is None:
            made_up = all(re.fullmatch(r"channel_\d+", name) for name in channels)
            known = ["channels"] * made_up
            known += ["classes"] * all(name == f"class_{value}" for value, name in classes.items())
        return cls(channels, classes, frozenset(known), Regions.from_json(card.get("regions", ())))

    def __str__(self) -> str:
        channels = f"{len(self.channels)} channel" + "s" * (len(self.channels) != 1)
        channels += "" if "channels" in self.inferred else f" ({', '.join(self.channels)})"
        unnamed = "classes" in self.inferred
        classes = (
            str(value) if unnamed else f"{value} {name}" for value, name in sorted(self.classes.items())
        )
        made_of = (f"{region.name} of {', '.join(map(str, region.values))}" for region in self.regions.each)
        regions = f"; regions {'; '.join(made_of)}" if self.regions else ""
        return f"{channels}; label values {', '.join(classes)}{regions}"


def with_classes_of(model: Task, cohort: Cohort) -> Cohort:
    """``cohort``, which fits the model; where nobody declared its classes it has the model's, since a few
    labels need not show all of them, and none shows any."""
    return replace(cohort, classes=model.classes) if "classes" in cohort.inferred else cohort


def channels_differ(folder: Task, model: Task, *, names: bool = True) -> bool:
    """Whether their number differs or, where both are declared, their ``names``."""
    if len(folder.channels) != len(model.channels):
        return True
    declared = "channels" not in folder.inferred | model.inferred
    return names and declared and folder.channels != model.channels


def classes_differ(folder: Task, model: Task, *, all_of_them: bool = False) -> bool:
    """Whether the label values differ or, where both are declared, their names.

    A folder whose classes are inferred may lack some, since a few labels need not show all of them, unless
    the folder is to train a network of the same outputs: ``all_of_them``.
    """
    if set(folder.classes) - set(model.classes):
        return True
    if set(model.classes) - set(folder.classes) and (all_of_them or "classes" not in folder.inferred):
        return True
    declared = "classes" not in folder.inferred | model.inferred
    return declared and (dict(folder.classes), _made_of(folder)) != (dict(model.classes), _made_of(model))


def _made_of(task: Task) -> list[tuple[str, tuple[int, ...]]]:
    return [(region.name, region.values) for region in task.regions.each]


def refuse_other_task(folder: Task, model: Task, path: Path, *, measured: bool = True) -> None:
    """Raise DataError, in the same words for every command, where the cases of ``path`` do not fit.

    ``measured`` False: nothing is compared with their labels, so neither classes nor names count.
    """
    if channels_differ(folder, model, names=measured) or (measured and classes_differ(folder, model)):
        raise DataError(
            "has other channels or classes than the model",
            path=path,
            found=folder,
            expected=model,
            remedy="give cases of the same task; if only names differ, correct dataset.json",
        )
