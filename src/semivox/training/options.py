"""What ``train`` takes, and the part of it that ``compare`` takes too; light, since help is made of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from semivox.cohort import LabeledSet
from semivox.duration import parse_duration
from semivox.options import Flag, Positional

if TYPE_CHECKING:
    from semivox.training.config import Config
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
    cache: Annotated[str | Path | None, Flag("DIR", MACHINE, default="DATA/.semivox", writes="folder")] = None
    """Where prepared scans are kept."""
    workers: int | None = None
    """Scans that are prepared at a time."""
    display: Display | None = None
    """Told what is done, such as :class:`semivox.training.display.ConsoleDisplay`; without it nothing is
    printed."""


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """What is trained on what: the arguments of :func:`semivox.train`, as they were given."""

    data: Annotated[str | Path, Positional("DATA", data=True, url="read")]
    """A data folder."""
    out: Annotated[str | Path, Flag("RUN", DATA, writes="folder")]
    """New run folder."""
    _: KW_ONLY
    method: Annotated[str | None, Flag("NAME", METHOD, default="auto", same_as=RUN)] = None
    """NAME{KEY=VALUE,...} also sets its settings; see ``semivox methods``."""
    labeled: Annotated[LabeledSet | None, Flag("SET", DATA, same_as=RUN)] = None
    seed: Annotated[int | None, Flag("S", METHOD, same_as=RUN)] = None
    folds: Annotated[int | None, Flag("K", DATA)] = None
    """Cut the labelled cases by patient into K folds and train a run for each, which does not see it and is
    measured on it. RUN then stands for these runs: ``predict`` averages them. --steps or --budget are each
    run's."""
    on: Annotated[str | None, Flag("ENGINE", MACHINE, default="local")] = None
    """Where folds are trained: local, one after the other here; local:N, N at a time, each with its share of
    the cores; ray[:ADDRESS] or slurm[:PARTITION], on a cluster."""
    init: Annotated[str | Path | None, Flag("RUN0", METHOD, same_as=RUN)] = None
    watch: Annotated[str | Path | None, Flag("DATA2", DATA, data=True, url="read")] = None
    """Measure the labelled cases of this data folder while training; it shows, and changes nothing."""
    resume: Annotated[bool, Flag("", DATA)] = False
    """Go on with the run in --out."""
    devices: Annotated[int | None, Flag("N", MACHINE, same_as=RUN)] = None
    nodes: Annotated[int | None, Flag("N", MACHINE, same_as=RUN)] = None

    @property
    def folder(self) -> Path:
        return Path(self.out)

    def given(self) -> dict[str, Any]:
        """The fields by name, but for the display, which is of this process."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "display"}

    @cached_property
    def goes_on(self) -> bool:
        """Whether there was a run to go on with when this was first asked; its settings are read back."""
        return self.resume and (self.folder / "config.yaml").exists()

    @property
    def leaves_method(self) -> bool:
        """Whether the method is for us to choose."""
        return self.method == "auto" or (self.method is None and self.config is None)

    @property
    def cache_folder(self) -> Path | None:
        return Path(self.cache) if self.cache else None

    @property
    def plan_file(self) -> str | Path | None:
        """The plan to follow: the run's own, if it goes on."""
        return self.folder / "plan.json" if self.goes_on else self.plan

    def resume_command(self, config: Config) -> str:
        """What goes on with the run; --watch and --cache are of the command, not in the run's settings."""
        if config.run.nodes > 1:
            return "the same torchrun line, with --resume"
        places = {"--out": self.out, "--watch": self.watch, "--cache": self.cache}
        given = [word for flag, place in places.items() if place for word in (flag, str(Path(place)))]
        return shlex.join(["semivox", "train", config.data, *given, "--resume"])


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function for another process; those that JSON cannot hold are left out, for they
    only show what happens."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
    kinds = Mapping, Sequence, str, int, float, bool, type(None)
    return {name: value for name, value in plain.items() if isinstance(value, kinds)}
