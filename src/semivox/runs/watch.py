"""``train --watch DATA2``: the Dice of held-out cases while training. It shows; it never chooses."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from semivox.cohort import (
    Case,
    Cohort,
    Progress,
    Task,
    Volume,
    inside,
    load_cohort,
    read_case,
    refuse_not_finite,
    refuse_other_palettes,
    refuse_other_task,
)
from semivox.errors import DataError, in_words
from semivox.evaluation import overlap_dice
from semivox.inference import Model
from semivox.prepare import Plan, read_label_on
from semivox.terminal import line


def refuse_unwatchable(
    data: Path, training: Cohort, learned: Sequence[Case], most: int, dims: int, progress: Progress
) -> None:
    """Raise DataError for the first of the watched cases that cannot be measured: all are read, as
    :class:`Watch` will read them, before anything is prepared. ``dims``, of the ``training`` scans;
    ``learned``, those of them whose labels are learned from."""
    cohort = load_cohort(data)
    cases = _watched(cohort, training, most)
    refuse_other_palettes(case.label for case in (*learned, *cases) if case.label is not None)
    for done, case in enumerate(cases, start=1):
        _read(case, cohort, training, dims)
        progress(done, len(cases))


def _watched(cohort: Cohort, training: Cohort, most: int) -> list[Case]:
    """The labelled cases that are watched, at most so many."""
    refuse_other_task(Task.of(cohort), Task.of(training), cohort.root)
    cases = [case for case in cohort.cases if case.label is not None and case.role != "unlabeled"][:most]
    if not cases:
        raise DataError(
            "there are no labelled cases to watch", path=cohort.root, remedy="give a folder with labels"
        )
    return cases


def _read(case: Case, cohort: Cohort, training: Cohort, dims: int) -> tuple[Volume, np.ndarray]:
    """Scan and label, held to what holds for those that are learned from."""
    volume = read_case(case)
    path, channels = case.images[0], training.channels
    remedy = "mend the file, or leave the case out of the watched ones"
    if volume.dims != dims:
        found = f"{volume.dims}D, shape {volume.shape}"
        raise DataError(
            "the watched scan has other dimensions than those of the training",
            path=path,
            found=found,
            expected=f"{dims}D",
            remedy=remedy,
        )
    if volume.channels != len(channels):
        raise DataError(
            "the watched scan has other channels than those of the training",
            path=path,
            found=volume.channels,
            expected=f"{len(channels)} ({', '.join(channels)})",
            remedy=remedy,
        )
    refuse_not_finite(volume)
    return volume, read_label_on(case, volume, cohort.values, cohort.ignore, cohort.regions)[0]


def _on_stderr(text: str) -> None:
    line(text, error=True)


class Watch:
    """Mean Dice over (at most) the first ``most`` labelled cases of ``data``.

    Scans and labels are read once and kept. ``seconds`` counts all time spent here, so that a run's own time
    can be told without it. ``tell`` hears of measurements that fail.
    """

    def __init__(
        self, data: Path, plan: Plan, training: Cohort, most: int, tell: Callable[[str], None] = _on_stderr
    ) -> None:
        began = time.monotonic()
        self.plan, self.training, self.cohort, self.tell = plan, training, load_cohort(data), tell
        self.cases: list[tuple[Volume, np.ndarray, Collection[int]]] = [
            (*_read(case, self.cohort, training, plan.dims), self.cohort.structures_of(case))
            for case in _watched(self.cohort, training, most)
        ]
        self.seconds = time.monotonic() - began

    def measure(self, networks: Sequence[nn.Module]) -> dict[str, float | None]:
        """Mean Dice of each class and of the foreground with the mean softmax of ``networks``. A measurement
        that fails is told, has no numbers, and ends nothing."""
        began = time.monotonic()
        try:
            return self._measured(networks)
        except Exception as error:
            self.tell(f"warning: the watched cases could not be measured: {in_words(error)}")
            return dict.fromkeys(self.training.structures.values())
        finally:
            self.seconds += time.monotonic() - began

    def _measured(self, networks: Sequence[nn.Module]) -> dict[str, float | None]:
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
        result = {name: _mean([row[k] for row in rows if k in row]) for k, name in structures.items()}
        if len(structures) > 1:
            result["foreground"] = _mean([mean for mean in result.values() if mean is not None])
        return result


def _mean(known: Sequence[float]) -> float | None:
    """None where nobody has annotated anything."""
    return float(np.mean(known)) if known else None
