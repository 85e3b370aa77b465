"""Everything that determines a run, as one tree of settings: ``config.yaml`` is this, written out.

Precedence: defaults < the recipe's and the method's paper constants < preset < plan < config file <
``--set``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from semivox.batches import Augmentation
from semivox.errors import DataError, SettingsError
from semivox.files import read_yaml, write_yaml
from semivox.methods import Method, Optimizer, load_method, parse_method, preset_settings
from semivox.methods.trust import permitted
from semivox.prepare.overrides import OVERRIDES
from semivox.pretrained import is_run
from semivox.ranges import (
    Amount,
    Count,
    CountOrNone,
    NotAll,
    Processes,
    Seconds,
    Seed,
    SomeShare,
    Steps,
)
from semivox.settings import as_dict, complete, flatten, names_of, override
from semivox.training.as_written import FILES, Labeled, Length, Text, absolute, differing
from semivox.training.sinks.installed import refuse_missing

FORMAT = 1
FIXED = ("data", "format", "plan")
"""Parts of the tree that no assignment sets as such."""

PAPER: Mapping[str, Any] = {"run.warm_up": 0.0, "run.keep_labeled": False, "run.restarts": True}
"""What the paper recipe changes for every method, beside the method's own constants."""


@dataclass(frozen=True)
class RunSettings:
    """What is trained on what, for how long, on which machine."""

    method: str = "supervised"
    """A name of the catalogue or of an installed package's method, NAME:PRESET, FILE.py:Class or
    package.module:Class."""
    labeled: Labeled | None = None
    """Which cases are labelled: K, Kp (patients), K@SEED, or a file of names; empty: all with a label."""
    seed: Seed = 0
    """Seed of every random draw of the run."""
    recipe: Literal["common", "paper"] = "common"
    """common: one plan, optimizer and predictor rule for every method; paper: what the paper used."""
    steps: Steps | None = None
    """Optimizer steps; empty: as many as the budget holds, measured once before step 0."""
    budget: Length | None = 3600.0
    """Seconds from the start of the command to the end of training."""
    warm_up: NotAll = 0.5
    """Least share of the run that learns from labels alone, with whole batches of them, before a method that
    learns from labelled and unlabelled crops side by side begins to; the paper recipe has 0."""
    keep_labeled: bool = True
    """Unlabelled crops come on top: a step that has them learns from as many labelled ones as a step that
    has none. Off: a batch is shared out between both, as in the papers and the paper recipe."""
    restarts: bool = False
    """The learning rate begins anew in every stage of a method; off: one schedule spans all stages, but where
    a stage moves by another optimizer or begins with other weights. The paper recipe has it on."""
    sweeps: CountOrNone | None = None
    """How often all unlabelled scans may be labelled anew, by methods that do so; 0: labels alone are learned
    from. Empty: with a budget, as often as leaves 60 % of it for steps, or once where that leaves a quarter,
    measured before step 0; with steps, without limit."""
    guard: bool = True
    """Look at pseudo-labels before they are learned from; a stage whose labels cannot be right (a class is
    missing, volumes are out of range, mirror images disagree) learns from labels alone."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic inside the network; auto takes bf16 where the machine computes in it, rightly and faster."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the networks for the steps: yes, no, or auto, which tries it on a CPU where two hours or more
    of a budget are left, and keeps it where it is faster."""
    threads: Processes | None = None
    """CPU threads of each process; empty: the machine's cores, shared among its processes."""
    devices: Processes = 1
    """Processes on each machine that share every batch: GPUs, or parts of a CPU; a resumed run may have
    another number."""
    nodes: Processes = 1
    """Machines; of several, torchrun starts the command on each."""
    init: Text | None = None
    """What the networks begin with: a run folder (its predictor's weights); generated: the package's own,
    learned from scans that were made up, all but the heads; scratch: random ones; auto: the package's where
    it has some for the network. Empty: auto where the method was left to auto, else scratch."""
    fresh_heads: bool = False
    """With init: the heads begin anew, and the other weights are fitted to this run's channels, kernels and
    strides; so that run may have learned other classes of other channels on another grid."""
    log_every: Steps = 10
    """Steps between two lines of the journal."""
    shares_every: CountOrNone = 100
    """Steps between two journalled shares of the loss's terms in the gradient; 0: never. Not with several
    processes, nor compiled."""
    checkpoint_seconds: Seconds = 120.0
    """Seconds between two checkpoints; 0: after every step."""
    watch_share: SomeShare = 0.1
    """With --watch: measured each time this share of the run has passed. It chooses nothing."""
    watch_cases: Count = 20
    """With --watch: at most this many cases, in cohort order."""
    tensorboard: bool = False
    """Also write TensorBoard events into the run folder."""
    mlflow: Text | None = None
    """Also write to MLflow: a tracking folder or the URI of a server; empty: not."""
    wandb: Literal["offline", "online"] | None = None
    """Also write to Weights & Biases, offline into the run folder or online to its server; empty: not."""


@dataclass(frozen=True)
class DistanceSettings:
    """Signed distance targets, for methods that ask for them."""

    form: Literal["euclidean", "crop_minmax"] = "euclidean"
    """euclidean: clipped at the limit and divided by it; crop_minmax: the literature's per-crop rescaling."""
    limit: Amount | None = None
    """Distance at which the map saturates, in working units; empty: 8 x the finest working spacing."""


@dataclass(frozen=True)
class Config:
    """The whole tree."""

    data: str
    run: RunSettings
    optimizer: Optimizer
    augmentation: Augmentation
    distance: DistanceSettings
    method: Any
    plan: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the plan, by the planner's names (rung, spacing, patch, batch, network.kind, ...)."""
    format: int = FORMAT


def resolve(
    data: Path,
    run: Mapping[str, Any],
    *,
    config_file: Path | None = None,
    assignments: Mapping[str, Any] | None = None,
    named: str | None = None,
    recorded: str | None = None,
) -> tuple[Config, type[Method]]:
    """The settings of a run: defaults, recipe, config file, then assignments (dotted names).

    ``run`` holds options given by their own flag, by their name in :class:`RunSettings`; they rank with
    ``assignments``. ``named``: the method on the command line, by default that of ``run``; ``recorded``: the
    hash of its method's file in the run that ``config_file`` is of. Raises SettingsError for unknown names
    (with the nearest), wrong values, and for code that only the file names (:mod:`semivox.methods.trust`).
    """
    from_file = _read_config(Path(config_file)) if config_file is not None else {}
    from_file.pop("data", None)
    named = named or run.get("method")
    asked = {**from_file, **{f"run.{k}": v for k, v in run.items() if v is not None}}
    name, preset, method_settings = parse_method(str(asked.pop("run.method", RunSettings.method)))
    if name != parse_method(str(from_file.get("run.method", name)))[0]:
        # the same run with another method: the file's settings of its own method do not apply
        asked = {k: v for k, v in asked.items() if not k.startswith("method.")}
    name = permitted(name, named and parse_method(str(named))[0], config_file, recorded)
    method_class = load_method(name)
    from_preset = {f"method.{k}": v for k, v in preset_settings(name, method_class, preset).items()}

    config = Config(
        data=str(data),
        run=override(RunSettings(), {"method": name}),
        optimizer=Optimizer(),
        augmentation=Augmentation(),
        distance=DistanceSettings(),
        method=method_class.Settings(),
    )
    assignments = dict(assignments or {})
    assignments = {full_name(key, config): value for key, value in assignments.items()}
    recipe = assignments.get("run.recipe", asked.get("run.recipe", config.run.recipe))
    if recipe == "paper":
        steps = config.method.paper_steps
        config = _apply(config, {**PAPER, "run.steps": steps, **method_class.paper}, "paper recipe")
    config = _apply(config, from_preset, f"preset {preset}")
    config = _apply(config, asked, str(config_file or "options"))
    config = _apply(config, {f"method.{key}": value for key, value in method_settings.items()}, name)
    config = _apply(config, assignments, "--set")
    given = {k for k, v in run.items() if v is not None} | {k.removeprefix("run.") for k in assignments}
    if {"steps", "budget"} <= given:
        raise SettingsError("both steps and budget are given", remedy="give --steps or --budget, not both")
    if "budget" in given:
        again = {"run.steps", "run.sweeps"} - {f"run.{name}" for name in given}
        config = override(config, dict.fromkeys(again))
        if "compile" not in given:
            config = override(config, {"run.compile": "auto"})
    config = _of_any_folder(config)
    _refuse_impossible(config.run)
    return config, method_class


def _of_any_folder(config: Config) -> Config:
    """The same; its paths mean the same from every folder."""
    run = config.run
    return replace(config, run=replace(run, **{name: absolute(name, getattr(run, name)) for name in FILES}))


def _refuse_impossible(run: RunSettings) -> None:
    """Raise SettingsError for what cannot be done here, or not together."""
    if run.fresh_heads and not is_run(run.init):
        raise SettingsError(
            "there is no run whose heads could begin anew",
            found="run.fresh_heads=true without --init",
            remedy="add --init RUN, or leave run.fresh_heads out",
        )
    refuse_missing(run)


def _apply(config: Config, changes: Mapping[str, Any], where: str) -> Config:
    """``changes`` applied; those of the plan are kept for the planner, which checks them."""
    plan = {k.removeprefix("plan."): v for k, v in changes.items() if k.startswith("plan.") and v is not None}
    others = {k: v for k, v in changes.items() if not k.startswith("plan.")}
    return replace(override(config, others, where=where), plan={**config.plan, **plan})


def full_name(name: str, config: Config) -> str:
    """A setting's full dotted name; a bare name is allowed where it is the only one that ends so."""
    known = [*(n for n in names_of(config) if n not in FIXED), *(f"plan.{n}" for n in OVERRIDES)]
    return name if name.startswith("plan.") else complete(name, known)


def predictor_of(method: Method, config: Config) -> tuple[str, ...]:
    """The modules whose mean softmax predicts: one rule under ``common``, the paper's under ``paper``."""
    kind = type(method)
    return kind.paper_predictor if config.run.recipe == "paper" else kind.predictor


def write_config(path: Path, config: Config) -> None:
    """``config.yaml``: resolved and re-runnable with ``--config``."""
    write_yaml(path, as_dict(config), "What this run was trained with; `semivox train --config` repeats it.")


def _read_config(path: Path) -> dict[str, Any]:
    """The file's settings by dotted name, ``data`` among them."""
    content = read_yaml(path)
    version = content.pop("format", FORMAT)
    if not isinstance(version, int) or isinstance(version, bool) or version > FORMAT:
        raise DataError(
            "was written by a newer semivox", path=path, found=f"format {version!r}", remedy="upgrade semivox"
        )
    return flatten(content)


def read_config(
    path: Path, named: str | None = None, recorded: str | None = None
) -> tuple[Config, type[Method]]:
    """The settings a run folder was started with; ``named`` and ``recorded`` as in :func:`resolve`."""
    data = _read_config(path).get("data", "")
    return resolve(Path(str(data)), {}, config_file=path, named=named, recorded=recorded)


def refuse_changes(saved: Config, run: Mapping[str, Any], assignments: Mapping[str, Any]) -> Config:
    """The settings of a run that is resumed; only the number of processes may be another one now.

    Raises SettingsError naming every setting that would differ.
    """
    wanted = {f"run.{k}": v for k, v in run.items() if v is not None}
    if "run.method" in wanted:
        name, preset, settings = parse_method(str(wanted["run.method"]))
        wanted["run.method"] = name
        settings = {**preset_settings(name, load_method(name), preset), **settings}
        wanted |= {f"method.{k}": v for k, v in settings.items()}
    wanted |= {full_name(k, saved): v for k, v in assignments.items()}
    if wanted.get("run.steps", saved.run.steps) == saved.run.steps:
        wanted.pop("run.steps", None)
    places = {str(k): wanted.pop(k) for k in ("run.devices", "run.nodes") if k in wanted}
    placed = _apply(saved, places, "--resume")
    if placed != saved:  # those of each process were for that many of them
        placed = override(placed, {"run.threads": wanted.pop("run.threads", None)})
    asked = _of_any_folder(_apply(saved, wanted, "--resume"))
    before, after = flatten(as_dict(saved)), flatten(as_dict(asked))
    changed = [f"{k}: {before.get(k)!r} -> {after[k]!r}" for k in differing(before, after)]
    if changed:
        raise SettingsError(
            "a run cannot be resumed with changed settings",
            found="; ".join(changed),
            remedy="leave them out to go on, or start a new run in another --out",
        )
    return placed
