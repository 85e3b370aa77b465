"""Several runs as one: the mean of their probabilities, which meet on the scan's own grid.

The runs share channels and classes; spacing, patch, network and method are each run's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

from semivox.cohort import Volume, channels_differ, classes_differ
from semivox.contents import EnsembleFolder, RunOfMask
from semivox.errors import DataError, SettingsError
from semivox.files import inside, read_json, write_json
from semivox.inference.export import CARD, ENSEMBLE
from semivox.inference.model import Loading, Model, load_model
from semivox.inference.native_grid import Found
from semivox.inference.predictor import Pieces, Predictor
from semivox.inference.ranges import joined_ranges
from semivox.prepare import ClassPlan, Plan

Shown = TypeVar("Shown", bound=ClassPlan)
FORMAT = 1
OF_THE_FIRST = ("channels", "labels", "codes", "colours", "file_ending", "naming", "inferred", "regions")


@dataclass(frozen=True)
class Ensemble(Predictor):
    """Models of one task, and what holds for all of them; see :func:`load_ensemble`."""

    members: tuple[Model, ...]
    plan: Plan
    card: Mapping[str, Any]
    classes: Mapping[int, str]
    weights: str
    whole: bool
    pieces: Pieces

    def find(self, volume: Volume) -> list[Found]:
        return [found for member in self.members for found in member.find(volume)]

    @property
    def runs(self) -> tuple[RunOfMask, ...]:
        return tuple(run for member in self.members for run in member.runs)


def load_ensemble(runs: str | Path | Sequence[str | Path], **how: Unpack[Loading]) -> Predictor:
    """Load the models of several runs, whose probabilities are averaged.

    Parameters
    ----------
    runs
        Run folders, and folders of several runs (``train --folds``). Of a single run its :class:`Model`.
    how
        As for :func:`semivox.inference.load_model`, for each of them.

    Raises
    ------
    DataError
        As there, where there is no run, and where one has other channels, classes or dimensions than the
        first.
    SettingsError
        As there, and where a run is given twice.
    """
    folders = members_of([runs] if isinstance(runs, str | Path) else runs)
    if not folders:
        raise DataError(
            "there is no run to predict with",
            found=f"{runs!r}",
            expected="the folder of a run, or several",
            remedy="give at least one folder that `semivox train` wrote",
        )
    models = [load_model(folder, **how) for folder in folders]
    if len(models) == 1:
        return models[0]
    _refuse_strangers(folders, models)
    first = models[0]
    return Ensemble(
        members=tuple(models),
        plan=_agreed([model.plan for model in models]),
        card=_joined([model.card for model in models], _id_of(models)),
        classes=first.classes,
        weights=" | ".join(dict.fromkeys(model.weights for model in models)),
        whole=first.whole,
        pieces=first.pieces,
    )


def members_of(runs: Iterable[str | Path]) -> list[Path]:
    """The run folders of ``runs``, in their order; a folder of several runs stands for all of them."""
    found: list[Path] = []
    for run in map(Path, runs):
        listed = run / ENSEMBLE
        if (run / CARD).is_file() or not listed.is_file():
            found.append(run)
            continue
        names = read_json(listed, newest=FORMAT, kind=EnsembleFolder)["runs"]
        found += [inside(run, *Path(name).parts) for name in names]
    return found


def holds_model(folder: str | Path) -> bool:
    """Whether ``folder`` is one that :func:`load_ensemble` takes: a run, or a folder of several."""
    return any((Path(folder) / name).is_file() for name in (CARD, ENSEMBLE))


def write_ensemble(folder: Path, runs: Sequence[str]) -> None:
    """Make ``folder`` stand for ``runs``, paths below it."""
    write_json(folder / ENSEMBLE, {"format": FORMAT, "runs": list(runs)})


def _refuse_strangers(folders: Sequence[Path], models: Sequence[Model]) -> None:
    first, seen = models[0], dict[str, Path]()
    for folder, model in zip(folders, models, strict=True):
        one, other = model.task, first.task
        what = next(
            name
            for name, differs in (
                ("dimensions", model.plan.dims != first.plan.dims),
                ("channels", channels_differ(one, other)),
                ("classes", classes_differ(one, other, all_of_them=True)),
                ("", True),
            )
            if differs
        )
        if what:
            raise DataError(
                f"the runs have other {what} and cannot be averaged",
                path=folder,
                found=f"{model.plan.dims}D; {one}",
                expected=f"those of {folders[0]}: {first.plan.dims}D; {other}",
                remedy="average runs of one task",
            )
        if model.model_id in seen:
            raise SettingsError(
                "a run is given twice", path=folder, found=f"the model of {seen[model.model_id]}",
                remedy="give each run once",
            )  # fmt: skip
        seen[model.model_id] = folder


def _agreed(plans: Sequence[Plan]) -> Plan:
    """The first run's plan; that labels show something in one piece holds where it does for all runs."""
    first = plans[0]

    def alike(shown: Sequence[Sequence[Shown]]) -> tuple[Shown, ...]:
        """The first plan's, of all plans' classes or regions."""
        return tuple(
            replace(each, one_piece=all(plans_own[k].one_piece for plans_own in shown))
            for k, each in enumerate(shown[0])
        )

    return replace(
        first,
        classes=alike([plan.classes for plan in plans]),
        regions=alike([plan.regions for plan in plans]),
        together=all(plan.together for plan in plans),
    )


def _joined(cards: Sequence[Mapping[str, Any]], model_id: str) -> dict[str, Any]:
    first = cards[0]
    return {
        **{name: first[name] for name in OF_THE_FIRST if name in first},
        "model_id": model_id,
        "method": " + ".join(dict.fromkeys(card["method"] for card in cards)),
        "spacing_known": all(card["spacing_known"] for card in cards),
        "may_be_empty": sorted({value for card in cards for value in card["may_be_empty"]}),
        "training": joined_ranges([card.get("training") for card in cards]),
        "undertrained": warning_of(cards),
    }


def warning_of(cards: Iterable[Mapping[str, Any]]) -> str | None:
    """The first warning of these models' cards that one is not to be used: then all together are not."""
    return next((said for card in cards if (said := card.get("undertrained"))), None)


def _id_of(models: Sequence[Model]) -> str:
    return hashlib.sha256("\n".join(sorted(model.model_id for model in models)).encode()).hexdigest()
