"""What ``compare`` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from semivox.cohort import LabeledSet
from semivox.options import Flag, Positional
from semivox.training.options import DATA, MACHINE, METHOD, TrainingOptions

CELLS = "cells"
HELD_OUT = "held-out cases"


@dataclass(frozen=True)
class CompareOptions(TrainingOptions):
    """Which methods are compared, on which cases; the training of each cell."""

    data: Annotated[str | Path, Positional("DATA", data=True, url="read")]
    """A data folder."""
    out: Annotated[str | Path, Flag("DIR", CELLS, writes="folder")]
    """Folder of the comparison. What is finished there is kept, what was interrupted goes on, what failed is
    tried again. Several processes may work on it at once."""
    _: KW_ONLY
    methods: Annotated[str | Sequence[str], Flag("LIST", METHOD)]
    """Names as ``train`` takes them, NAME,NAME{KEY=VALUE,...}; all: the whole catalogue."""
    labeled: Annotated[LabeledSet | Sequence[LabeledSet] | None, Flag("LIST", DATA, default="all")] = None
    """Labelled sets, such as 8,7p,8@3 or a file of names; all: every case with a label file."""
    seeds: Annotated[str | int | Sequence[int] | None, Flag("LIST", CELLS, default="0")] = None
    """Seeds of the trainings, such as 0,1,2."""
    test: Annotated[str | Path | None, Flag("DATA2", DATA, one_of=HELD_OUT, data=True, url="read")] = None
    """Data folder of held-out cases with labels. If it is DATA itself: its cases with role test."""
    folds: Annotated[int | None, Flag("F", DATA, one_of=HELD_OUT)] = None
    """Instead of --test: cut the labelled cases by patient into so many folds, each held out once."""
    reference: Annotated[str, Flag("NAME", METHOD)] = "supervised"
    """The method that the others are compared with; added if it is not among them."""
    oracle: Annotated[bool, Flag(group=METHOD)] = False
    """Also train the reference with every label there is: the most that unlabelled scans can be worth. The
    table then tells which share of that gap each method closes. Needs --test."""
    cell: Annotated[int | None, Flag("I", CELLS)] = None
    """Work on this cell alone, by its number in --list; for job arrays."""
    on: Annotated[str | None, Flag("ENGINE", MACHINE, default="local")] = None
    """Where cells are done: local, one after the other here; local:N, N at a time, each with its share of the
    cores; ray[:ADDRESS] or slurm[:PARTITION], on a cluster. Given again, the command goes on from there."""
