"""``train --watch DATA2``: the Dice of held-out cases while training. It shows; it never chooses."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from semivox.cohort import (
    Cohort,
    Task,
    Volume,
    inside,
    load_cohort,
    read_case,
    read_label,
    refuse_other_task,
)
from semivox.errors import DataError
from semivox.evaluation import overlap_dice
from semivox.inference import Model
from semivox.prepare import Plan


class Watch:
    """Mean Dice over (at most) the first ``most`` labelled cases of ``data``.

    Scans and labels are read once and kept. ``seconds`` counts all time spent here, so that a run's own time
    can be told without it.
    """

    def __init__(self, data: Path, plan: Plan, training: Cohort, most: int) -> None:
        began = time.monotonic()
        cohort = load_cohort(data)
        refuse_other_task(Task.of(cohort), Task.of(training), data)
        labeled = [
            (case, case.label) for case in cohort.cases if case.label is not None and case.role != "unlabeled"
        ][:most]
        if not labeled:
            raise DataError(
                "there are no labelled cases to watch", path=data, remedy="give a folder with labels"
            )
        self.plan, self.training, self.cohort = plan, training, cohort
        self.cases: list[tuple[Volume, np.ndarray, Collection[int]]] = [
            (
                image := read_case(case),
                read_label(label, image, regions=cohort.regions).array[0],
                cohort.structures_of(case),
            )
            for case, label in labeled
        ]
        self.seconds = time.monotonic() - began

    def measure(self, networks: Sequence[nn.Module]) -> dict[str, float | None]:
        """Mean Dice of each class and of the foreground with the mean softmax of ``networks``."""
        began = time.monotonic()
        card = {
            "model_id": "watched",
            "channels": list(self.training.channels),
            "spacing_known": self.cohort.spacing_known,
            "regions": self.training.regions.to_json(),
        }
        model = Model(tuple(networks), self.plan, card, dict(self.training.classes), weights="watched")
        rows, structures = [], dict(sorted(self.training.structures.items()))
        for volume, label, annotated in self.cases:
            mask = model.predict(volume).mask
            keep = np.ones(label.shape, bool) if self.cohort.ignore is None else label != self.cohort.ignore
            parts = self.training.regions.parts
            rows.append(
                {
                    k: overlap_dice(inside(mask, k, parts) & keep, inside(label, k, parts) & keep)
                    for k in structures
                    if k in annotated and keep.any()
                }
            )
        self.seconds += time.monotonic() - began
        result = {name: _mean([row[k] for row in rows if k in row]) for k, name in structures.items()}
        if len(structures) > 1:
            result["foreground"] = _mean([mean for mean in result.values() if mean is not None])
        return result


def _mean(known: Sequence[float]) -> float | None:
    """None where nobody has annotated anything."""
    return float(np.mean(known)) if known else None
