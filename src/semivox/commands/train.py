"""``semivox train``: a data folder and a method become a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semivox.runs.asked import Asked
from semivox.runs.run import TrainResult, carry_out
from semivox.training.display import Display


def train(
    data: str | Path,
    out: str | Path,
    *,
    method: str | None = None,
    labeled: str | int | None = None,
    steps: int | None = None,
    budget: float | str | None = None,
    seed: int | None = None,
    recipe: str | None = None,
    plan: str | Path | None = None,
    init: str | Path | None = None,
    watch: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    resume: bool = False,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    devices: int | None = None,
    nodes: int | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    display: Display | None = None,
) -> TrainResult:
    """Train ``method`` on the data folder ``data`` into the new folder ``out``.

    ``labeled`` is K, "Kp", "K@SEED" or a file of names; ``budget`` is in seconds, or "30m", "2h";
    ``settings`` are dotted names with values (or "KEY=VALUE" strings). What is None has the default of
    :class:`semivox.training.config.RunSettings`. Raises DataError or SettingsError before anything is
    trained, Stopped after a signal (saved, resumable), TrainingFailed when training cannot go on.

    ``devices`` > 1: as many processes share every batch, each with a GPU of its own or a part of the cores.
    This one is the first; it starts the others and ends them (with ``nodes`` > 1 torchrun does).
    """
    asked = {name: value for name, value in locals().items() if name != "display"}
    return carry_out(Asked(**asked), display, _write_page)


def _write_page(run: Path) -> None:
    from semivox.commands.report import report  # here: a run must not fail for want of matplotlib

    report(run)
