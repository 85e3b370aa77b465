"""The options that ``train`` and ``compare`` take alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from semivox.duration import parse_duration
from semivox.options import Flag

if TYPE_CHECKING:
    from semivox.training.display import Display

RUN = "semivox.training.config:RunSettings"
DATA, METHOD, LENGTH, SETTINGS, MACHINE = "data", "method", "length of a training", "settings", "machine"
GROUPS = (DATA, METHOD, LENGTH, SETTINGS, MACHINE)
"""Headings of the help, in this order."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long a training is, with which settings, on which machine. None: as in RunSettings."""

    steps: Annotated[int | None, Flag("N", LENGTH, one_of="steps or budget", same_as=RUN)] = None
    budget: Annotated[
        float | str | None,
        Flag("T", LENGTH, default="1h", parse=parse_duration, one_of="steps or budget", same_as=RUN),
    ] = None
    """Or with a unit: 30m, 2h, 1h30m."""
    recipe: Annotated[Literal["common", "paper"] | None, Flag("", METHOD, same_as=RUN)] = None
    plan: Annotated[str | Path | None, Flag("FILE", SETTINGS)] = None
    """A ``plan.json`` to follow, as ``plan --out`` writes it."""
    config: Annotated[str | Path | None, Flag("FILE", SETTINGS)] = None
    """Settings as YAML, such as a run's ``config.yaml``."""
    settings: Annotated[
        Mapping[str, Any] | Sequence[str], Flag("KEY=VALUE", SETTINGS, flag="--set", repeat=True)
    ] = ()
    """Any setting, by its dotted name; may be given again for another."""
    device: Annotated[str | None, Flag("D", MACHINE, same_as=RUN)] = None
    precision: Annotated[Literal["auto", "fp32", "bf16"] | None, Flag("", MACHINE, same_as=RUN)] = None
    threads: Annotated[int | None, Flag("N", MACHINE, same_as=RUN)] = None
    cache: Annotated[str | Path | None, Flag("DIR", MACHINE, default="DATA/.semivox")] = None
    """Where prepared scans are kept."""
    workers: int | None = None
    """Scans that are prepared at a time."""
    display: Display | None = None
    """Told what is done, such as :class:`semivox.training.display.ConsoleDisplay`; without it nothing is
    printed."""
