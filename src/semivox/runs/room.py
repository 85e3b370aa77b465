"""The room a run needs on its disk, told before its first step and not after hours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from semivox.files import refuse_full
from semivox.methods import Method, Stage
from semivox.prepare import Store
from semivox.training.config import Config
from semivox.training.pseudo_label_bank import KEPT

MOMENTS = {"sgd": 1}
"""Numbers that an optimizer keeps of each weight; others keep two."""
CHECKPOINTS = 3
"""At a time: the last one, the one before, and the one being written."""


def refuse_no_room(run: Path, method: Method, stages: Sequence[Stage], config: Config, store: Store) -> None:
    """Raise DiskFault unless the disk of ``run`` has room for checkpoints, model and pseudo-labels, less what
    of them is there already."""
    weights = sum(value.nbytes for value in method.state_dict().values())
    moved = sum(value.nbytes for value in method.parameters())
    kept_ends = len({stage.start for stage in stages} - {"go_on", "initial"})
    checkpoint = weights * (1 + kept_ends) + moved * MOMENTS.get(config.optimizer.kind, 2)
    needed = CHECKPOINTS * checkpoint + weights + _pseudo_labels(stages, store)
    there = sum(
        path.stat().st_size
        for folder in ("checkpoints", "pseudo_labels")
        for path in (run / folder).rglob("*")
        if path.is_file()
    )
    refuse_full(run, max(0, needed - there), "the run's checkpoints, model and pseudo-labels")


def _pseudo_labels(stages: Sequence[Stage], store: Store) -> int:
    """Bytes of the rounds that are on the disk at a time: a byte a voxel and class, and one of confidence."""
    rows = [store.rows[index] for index in store.unlabeled]
    one = sum(math.prod(row.shape) * (len(row.annotated) + 1) for row in rows)
    parts = [stage.relabel.part[1] for stage in stages if stage.relabel is not None]
    return sum(one // of for of in parts[: (KEPT + 1) * max(parts, default=1)])
