"""What a training was asked for, and the settings that this makes: new ones, or those of the run it goes on
with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from semivox.cohort import Cohort, split_cohort
from semivox.duration import budget_seconds
from semivox.errors import SettingsError
from semivox.methods.catalog import RECOMMENDED
from semivox.methods.declare import Method
from semivox.settings import parse_assignment
from semivox.training.config import Config, read_config, refuse_changes, resolve
from semivox.training.display import Display
from semivox.training.run_folder import has_run

LEAST_STEPS = 600
"""Steps below which ``auto`` means ``supervised``: no teacher has finished learning."""
PLACES = ("data", "out", "plan", "watch", "config", "settings", "resume", "cache", "workers")
"""Fields that are no settings of :class:`~semivox.training.config.RunSettings`."""


@dataclass(frozen=True)
class Asked:
    """The arguments of :func:`semivox.train`, as they were given; None: the default."""

    data: str | Path
    out: str | Path
    method: str | None = None
    labeled: str | int | None = None
    steps: int | None = None
    budget: float | str | None = None
    seed: int | None = None
    recipe: str | None = None
    plan: str | Path | None = None
    init: str | Path | None = None
    watch: str | Path | None = None
    config: str | Path | None = None
    settings: Mapping[str, Any] | Sequence[str] = field(default=())
    resume: bool = False
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    devices: int | None = None
    nodes: int | None = None
    cache: str | Path | None = None
    workers: int | None = None

    @property
    def folder(self) -> Path:
        return Path(self.out)

    def given(self) -> dict[str, Any]:
        """The fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

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


def settings_of(asked: Asked, cohort: Cohort, display: Display) -> tuple[Config, type[Method]]:
    """The settings to train with. Raises SettingsError where they cannot be, or not in this folder."""
    options, assignments = _options(asked), _assignments(asked)
    if asked.goes_on:
        config, method_class = read_config(asked.folder / "config.yaml")
        return refuse_changes(config, options, assignments), method_class
    if asked.leaves_method:
        options["method"] = _recommended(asked, cohort, display)
    file = Path(asked.config) if asked.config else None
    return resolve(Path(asked.data), options, config_file=file, assignments=assignments)


def refuse_taken(asked: Asked) -> None:
    """Raise SettingsError if the folder holds a run and nobody asked to resume it."""
    if has_run(asked.folder) and not asked.resume:
        raise SettingsError(
            "this folder already holds a run",
            path=asked.folder,
            remedy="add --resume to go on, or choose another --out",
        )


def _options(asked: Asked) -> dict[str, Any]:
    """What has a flag of its own, by its name in the settings of a run."""
    options = {name: value for name, value in asked.given().items() if name not in PLACES}
    for name in ("labeled", "init"):
        options[name] = None if options[name] is None else str(options[name])
    options["budget"] = None if asked.budget is None else budget_seconds(asked.budget)
    return options


def _assignments(asked: Asked) -> dict[str, Any]:
    if isinstance(asked.settings, Mapping):
        return dict(asked.settings)
    return dict(parse_assignment(text) for text in asked.settings)


def _recommended(asked: Asked, cohort: Cohort, display: Display) -> str:
    """The method for these scans, told in one line."""
    labeled = None if asked.labeled is None else str(asked.labeled)
    split = split_cohort(cohort, labeled)
    known, others = len(split.labeled), len(split.unlabeled)
    method = RECOMMENDED if others >= known else "supervised"
    display.say(
        f"method: {method}, for {known} labelled and {others} unlabelled scans (override: --method NAME)"
    )
    return method


def supervised_if_short(
    asked: Asked, config: Config, planned_steps: int | None, cohort: Cohort, display: Display
) -> tuple[Config, type[Method]] | None:
    """The settings of ``supervised`` where ``auto`` took another method and the run has too few steps for it.

    ``planned_steps``: those that the plan expects the budget to hold. None where nothing changes.
    """
    steps = config.run.steps or planned_steps
    if not asked.leaves_method or asked.goes_on or steps is None or steps >= LEAST_STEPS:
        return None
    if config.run.method == "supervised":
        return None
    display.say(f"method: supervised after all, for about {steps} steps are too few to label scans by")
    return settings_of(replace(asked, method="supervised"), cohort, display)
