"""What the networks of a run begin with besides random weights: another run's, or those of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semivox.cohort import Cohort, Split
from semivox.inference import load_network, parent_of
from semivox.methods import Method
from semivox.networks import Segmenter
from semivox.prepare import Plan
from semivox.pretrained import GENERATED, beginning, is_run
from semivox.training.config import RunSettings
from semivox.training.display import Display


def parent_run(run: RunSettings, cohort: Cohort, split: Split) -> dict[str, Any] | None:
    """What is recorded of the run that this one begins with, if it does; see
    :func:`semivox.inference.parent_of`."""
    if not is_run(run.init):
        return None
    return parent_of(Path(str(run.init)), cohort, len(split.labeled), run.fresh_heads)


def package_parent(
    run: RunSettings, plan: Plan, cohort: Cohort, split: Split, display: Display
) -> dict[str, Any] | None:
    """The same of the package's weights, once the plan tells the network; its ``path`` is no path."""
    folder = None if is_run(run.init) else beginning(run.init, plan.network)
    if folder is None:
        return None
    display.say("weights: the package's, learned from generated scans (override: --init scratch)")
    return {**parent_of(folder, cohort, len(split.labeled), fresh_heads=True), "path": GENERATED}


def begin(method: Method, run: RunSettings, plan: Plan) -> None:
    """Give every segmenter of ``method`` the weights that the run begins with, if they are not random."""
    folder = beginning(run.init, plan.network)
    if folder is None:
        return
    fresh = run.fresh_heads or not is_run(run.init)
    for network in method.children():
        if isinstance(network, Segmenter):
            load_network(folder, network, fresh)
