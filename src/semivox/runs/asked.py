"""From what a training was asked for to its settings: new ones, or those of the run it goes on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from semivox.cohort import Cohort, LabeledSet, Split, split_cohort
from semivox.errors import SettingsError
from semivox.methods import Facts, Method
from semivox.methods.catalog import RECOMMENDED
from semivox.prepare import Plan
from semivox.prepare.candidate import FEW_LABELED
from semivox.pretrained import WHERE_THERE_ARE, beginning, is_run
from semivox.randomness import Key
from semivox.runs.environment import recorded_method
from semivox.settings import assignments
from semivox.training.config import Config, read_config, refuse_changes, resolve
from semivox.training.display import Display
from semivox.training.options import TrainOptions
from semivox.training.run_folder import has_run

LEAST_STEPS = 800
"""Steps below which ``auto`` means plain ``supervised``: no teacher has finished learning, and boxes that
change places slow learning down."""
BOXES = "supervised{exchange=1}"
"""What few labelled scans are learned by where there are no others."""
LEAST_STEPS_BEGUN = 200
"""Steps from which boxes pay where the networks begin with the package's weights (docs/results.md)."""
PLACES = ("data", "out", "plan", "watch", "config", "settings", "resume", "folds", "on", "cache", "workers")
"""Fields that are no settings of :class:`~semivox.training.config.RunSettings`."""


def settings_of(asked: TrainOptions, cohort: Cohort) -> tuple[Config, type[Method]]:
    """The settings to train with. Raises SettingsError where they cannot be, or not in this folder."""
    options, changes = _options(asked), left_to_us(asked, cohort) | assignments(asked.settings)
    if asked.goes_on:
        config, method_class = read_config(
            asked.folder / "config.yaml", options.get("method"), recorded_method(asked.folder)
        )
        return refuse_changes(config, options, changes), method_class
    if asked.leaves_method:
        options["method"] = _recommended(asked, cohort)
    file = Path(asked.config) if asked.config else None
    return resolve(Path(asked.data), options, config_file=file, assignments=changes)


def refuse_taken(asked: TrainOptions) -> None:
    """Raise SettingsError if the folder holds a run and nobody asked to resume it."""
    if has_run(asked.folder) and not asked.resume:
        raise SettingsError(
            "this folder already holds a run",
            path=asked.folder,
            remedy="add --resume to go on, or choose another --out",
        )


def _options(asked: TrainOptions) -> dict[str, Any]:
    """What has a flag of its own, by its name in the settings of a run."""
    return {name: value for name, value in asked.given().items() if name not in PLACES}


def _labeled(asked: TrainOptions) -> LabeledSet | None:
    """Which cases are labelled, by its flag or as a setting."""
    among = assignments(asked.settings)
    given = (asked.labeled, among.get("run.labeled"), among.get("labeled"))
    return next((each for each in given if each is not None), None)


def left_to_us(asked: TrainOptions, cohort: Cohort) -> dict[str, Any]:
    """Settings by their dotted names that are ours to choose where the method is, unless they were given:
    the package's weights, where it has some for the network, and for few labelled scans a network of the kind
    that it has some for, which also gains more by boxes (docs/methods/self_training.md)."""
    if not asked.leaves_method or asked.config is not None or asked.goes_on:
        return {}
    known, _ = _counted(cohort, _labeled(asked))
    begins = {"run.init": WHERE_THERE_ARE} if asked.init is None else {}
    return begins | {f"plan.{name}": value for name, value in plan_for_auto(known).items()}


def plan_for_auto(labeled: int) -> dict[str, Any]:
    """Settings of the plan, by the planner's names, of a run on so many labelled scans whose method is ours
    to choose."""
    return {"network.kind": "unet"} if labeled < FEW_LABELED else {}


def _recommended(asked: TrainOptions, cohort: Cohort) -> str:
    """The method for these scans, if there is time for it."""
    known, others = _counted(cohort, _labeled(asked))
    return RECOMMENDED if others >= known else _labels_alone(known)


def _labels_alone(known: int) -> str:
    return BOXES if known < FEW_LABELED else "supervised"


def _counted(cohort: Cohort, labeled: LabeledSet | None) -> tuple[int, int]:
    split = split_cohort(cohort, labeled)
    return len(split.labeled), len(split.unlabeled)


def chosen(
    asked: TrainOptions, config: Config, plan: Plan, cohort: Cohort, display: Display
) -> tuple[Config, type[Method]] | None:
    """What ``auto`` stands for, told in a line with why: the settings of a method that few steps suffice for
    where it took another and the run has too few for that, else None.

    ``plan``: it tells how many steps the budget is expected to hold.
    """
    if not asked.leaves_method or asked.goes_on:
        return None
    known, others = _counted(cohort, config.run.labeled)
    why = f"{known} labelled, {others} unlabelled scans" if others else f"{known} labelled scans"
    steps = config.run.steps or plan.steps
    if steps is not None:
        about = "about " if config.run.steps is None else ""
        why = f"{why}, {about}{steps:,} step{'' if steps == 1 else 's'}"
    method = _for_steps(config, plan, steps, known)
    if method == method_name(config):
        display.say(f"method: {method}: {why} (override: --method NAME)")
        return None
    display.say(f"method: {method}: {why}: too few (override: --method NAME)")
    return _instead(asked, config, method, cohort)


def supervised_after_all(
    asked: TrainOptions, config: Config, plan: Plan, cohort: Cohort, display: Display
) -> tuple[Config, type[Method]] | None:
    """The same once the steps were measured, and are far fewer than the plan had expected: only that is told.
    ``config``: with these steps."""
    steps, before = config.run.steps, method_name(config)
    if not asked.leaves_method or steps is None:
        return None
    known, _ = _counted(cohort, config.run.labeled)
    method, why = _for_steps(config, plan, steps, known), f"{steps:,} steps are too few for {before}"
    if method == before and config.run.sweeps == 0 and config.run.method != "supervised":
        method, why = _labels_alone(known), "there is no time to label scans"
    if method == before:
        return None
    display.say(f"method: {method} after all: {why} (override: --method NAME)")
    return _instead(asked, config, method, cohort)


def _for_steps(config: Config, plan: Plan, steps: int | None, known: int) -> str:
    """The method of ``config`` if a run of so many steps suffices for it, else one that it suffices for."""
    if steps is None or steps >= LEAST_STEPS or _plain(config):
        return method_name(config)
    begun = not is_run(config.run.init) and beginning(config.run.init, plan.network) is not None
    return _labels_alone(known) if begun and steps >= LEAST_STEPS_BEGUN else "supervised"


def _instead(asked: TrainOptions, config: Config, method: str, cohort: Cohort) -> tuple[Config, type[Method]]:
    """The settings with ``method``, where ``auto`` took that of ``config`` first and the plan is made."""
    other, method_class = settings_of(replace(asked, method=method, init=config.run.init), cohort)
    return replace(other, plan=config.plan), method_class


def _plain(config: Config) -> bool:
    return config.run.method == "supervised" and not config.method.exchange


def method_name(config: Config) -> str:
    """The method as one would write it to get what ``auto`` took."""
    if config.run.method != "supervised" or _plain(config):
        return config.run.method
    return f"supervised{{exchange={config.method.exchange:g}}}"


def facts_of(config: Config, plan: Plan, split: Split, steps: int, precision: str) -> Facts:
    """What the method may know of a run of so many steps."""
    run = config.run
    return Facts(
        plan=plan,
        steps=steps,
        labeled=len(split.labeled),
        unlabeled=len(split.unlabeled),
        key=Key(run.seed),
        precision=precision,
        sweeps=run.sweeps,
        warm_up=run.warm_up,
        keep_labeled=run.keep_labeled,
        restarts=run.restarts,
    )
