"""What the networks of a run begin with besides random weights: another run's, or those of the package.

The run keeps a copy, by which it can be resumed where those have moved, changed or gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semivox.cohort import Cohort, Split
from semivox.contents import Cases
from semivox.files import copy_file, read_json, remove_folder
from semivox.inference import load_network, parent_of
from semivox.inference.export import CARD, WEIGHTS
from semivox.methods import Method
from semivox.networks import Segmenter
from semivox.prepare import Plan
from semivox.pretrained import GENERATED, beginning, is_run
from semivox.training.config import RunSettings
from semivox.training.display import Display
from semivox.training.options import TrainOptions

KEPT = "beginning"
"""Folder of a run that holds the copy."""


def parent_run(asked: TrainOptions, run: RunSettings, cohort: Cohort, split: Split) -> dict[str, Any] | None:
    """What is recorded of the run that this one begins with, if it does; see
    :func:`semivox.inference.parent_of`. Of one that goes on and has its copy: as it was recorded then."""
    if asked.goes_on and _is_kept(asked.folder / KEPT):
        return read_json(asked.folder / "cases.json", kind=Cases).get("parent")
    if not is_run(run.init):
        return None
    return parent_of(Path(str(run.init)), cohort, len(split.labeled), run.fresh_heads)


def begins_with(
    asked: TrainOptions, parent: dict[str, Any] | None,
    run: RunSettings, plan: Plan, cohort: Cohort, split: Split, display: Display,
) -> dict[str, Any] | None:  # fmt: skip
    """The same once the plan tells the network, of the package's weights, too; a new run gets its copy."""
    if not asked.goes_on:
        _keep(beginning(run.init, plan.network), asked.folder / KEPT)
    return parent or _package_parent(run, plan, cohort, split, display)


def _is_kept(folder: Path) -> bool:
    return (folder / CARD).is_file() and (folder / WEIGHTS).is_file()


def _keep(source: Path | None, folder: Path) -> None:
    if source is None:  # an earlier try may have left one
        remove_folder(folder.parent, folder.name)
        return
    for name in (WEIGHTS, CARD):
        copy_file(source / name, folder / name)


def _package_parent(
    run: RunSettings, plan: Plan, cohort: Cohort, split: Split, display: Display
) -> dict[str, Any] | None:
    """Its ``path`` is no path."""
    folder = None if is_run(run.init) else beginning(run.init, plan.network)
    if folder is None:
        return None
    display.say("weights: the package's, learned from generated scans (override: --init scratch)")
    return {**parent_of(folder, cohort, len(split.labeled), fresh_heads=True), "path": GENERATED}


def begin(method: Method, run: RunSettings, plan: Plan, kept: Path | None) -> None:
    """Give every segmenter of ``method`` the weights that the run begins with, if they are not random: of one
    that goes on those of its copy ``kept``, which runs of earlier versions have not."""
    source = beginning(run.init, plan.network)
    if source is None:
        return
    folder = kept if kept is not None and _is_kept(kept) else source
    fresh = run.fresh_heads or not is_run(run.init)
    for network in method.children():
        if isinstance(network, Segmenter):
            load_network(folder, network, fresh)
