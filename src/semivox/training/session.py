"""One run, from its start or its checkpoint on: the loop with journal, status, signals and watching."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from semivox.batches.source import BatchSource
from semivox.errors import DataError, Stopped, TrainingFailed
from semivox.methods.declare import Method, Stage
from semivox.networks.compiled import compiler_fault
from semivox.training.bank import PseudoLabelBank
from semivox.training.checkpoints import load as load_checkpoint
from semivox.training.checkpoints import save as save_checkpoint
from semivox.training.config import Config, predictor_of
from semivox.training.display import Display
from semivox.training.journal import Journal
from semivox.training.loop import Hooks, Progress, fit
from semivox.training.processes import ALONE, Processes
from semivox.training.run_folder import RunFolder
from semivox.training.measured_settings import Make, Source, labellers
from semivox.training.signals import StopSignals
from semivox.training.sinks import Sinks, open_sinks
from semivox.training.stages import stage_begins, stages_of


class Watcher(Protocol):
    """Measures networks on cases that are not trained on; ``seconds`` is what it has taken so far."""

    seconds: float

    def measure(self, networks: Sequence[nn.Module]) -> dict[str, float | None]: ...


def train_run(
    run: RunFolder,
    config: Config,
    make: Make,
    source: Source,
    bank: PseudoLabelBank,
    *,
    began: float,
    device: torch.device,
    watcher: Watcher | None,
    display: Display,
    go_on: str,
    processes: Processes = ALONE,
    saved: Callable[[bool], None] = lambda last: None,
) -> tuple[Method, float]:
    """Train to the last step, from the checkpoint where there is one; returns method and seconds.

    ``began`` is the command's start (time.monotonic). Raises Stopped after a signal, with everything saved.
    ``go_on``: the command that goes on with the run, to be told then. Of several ``processes`` all call this
    alike; the first one alone watches and writes. ``saved(last)`` is called after each checkpoint, with True
    when the run stops there.
    """
    assert config.run.steps is not None
    steps = config.run.steps
    facts, method = make(steps, config.run.precision)
    stages = stages_of(method, facts)
    begins = stage_begins(stages, steps)
    labelled_at = {begin for begin, stage in zip(begins, stages, strict=True) if stage.relabel is not None}
    place = {stage.name: index for index, stage in enumerate(stages)}
    progress = Progress()
    state, reports = load_checkpoint(run.checkpoints)
    for line in reports:
        display.say(line)
    if state is not None:
        method.load_state_dict(state["method"])
        progress = Progress(state["step"], state["optimizers"], state["ends"])
        began -= float(state["seconds"])

    processes.same(
        progress.step,
        "the processes found different checkpoints",
        "put the run folder on a disk that all machines see, at the same path",
    )

    def write(record: dict[str, Any]) -> None:
        if journal is not None:
            journal.write(record)

    journal = None
    sinks = Sinks()
    if processes.first:
        sinks = open_sinks(run.path, config, progress.step, display.say)
        journal = Journal(run.journal, (sinks.write,))
        journal.cut_back(progress.step)
    compiled = config.run.compile is True and processes.ranks == 1
    if compiled and (fault := compiler_fault()) is not None:
        display.say(f"warning: the run was compiled, and cannot be here: {fault}")
        compiled = False
    watch_every = max(1, round(steps * config.run.watch_share))
    watched = processes.agree(watcher is not None)
    # processes that drive GPUs ask each other only where they wait for them anyway
    ask_every = config.run.log_every if processes.ranks > 1 and device.type == "cuda" else 1
    stopping = False
    saved_at = time.monotonic()

    def batches(stage: Stage) -> BatchSource:
        return source(stage, bank.view(place[stage.name]) if labelled_at else None)

    def elapsed() -> float:
        return time.monotonic() - began - (watcher.seconds if watcher else 0.0)

    def on_watch(step: int, method: Method) -> None:
        if not watched or (step % watch_every and step != steps):
            return
        if watcher is not None:
            seconds = elapsed()
            dice = watcher.measure([getattr(method, role) for role in predictor_of(method, config)])
            write({"kind": "watch", "step": step - 1, "dice": dice, "elapsed": seconds})
            display.watched(step, seconds, dice)
        processes.wait()

    with StopSignals() as stop, sinks:

        def on_checkpoint(step: int, state: Callable[[], dict[str, Any]]) -> None:
            nonlocal saved_at, stopping
            stopping = step % ask_every == 0 and processes.any(stop())
            if not processes.first:
                return
            due = time.monotonic() - saved_at >= config.run.checkpoint_seconds
            # saved before labelling too, so that a run killed there has lost no step
            if due or step == steps or step in labelled_at or stopping:
                save_checkpoint(run.checkpoints, {**state(), "seconds": elapsed()})
                saved_at = time.monotonic()
                saved(False)

        def stopped(step: int) -> Stopped:
            return Stopped(
                f"stopped by {stop.name or 'a signal to another process'} after step {step} of {steps}; "
                "everything is saved",
                remedy=f"go on with: {go_on}",
            )

        def on_relabel(index: int, stage: Stage, method: Method) -> None:
            assert stage.relabel is not None
            step = begins[index]

            def labelled(done: int, total: int) -> None:
                run.beat(step)
                display.work(f"label for {stage.name}", done, total)
                if processes.any(stop()):
                    raise stopped(step)

            networks = labellers(method, stage.relabel, config)
            record = bank.relabel(stage.name, index, stage.relabel, networks, labelled)
            told = {"kind": "relabel", "step": step, "stage": stage.name, **record, "elapsed": elapsed()}
            write(told)
            if record["laziness"] is not None:
                kept = record["laziness"]["foreground"]
                display.say(f"{stage.name}: Dice {kept:.4f} between new and former pseudo-labels")

        def on_progress(step: int, record: dict[str, Any]) -> None:
            run.beat(step)
            display.step(step, steps, record)

        run.status("training", progress.step)
        try:
            progress = fit(
                method,
                facts,
                batches,
                optimizer=config.optimizer,
                rebuild=lambda: make(steps, config.run.precision)[1],
                paper_steps=config.method.paper_steps,
                log_every=config.run.log_every,
                device=device,
                hooks=Hooks(
                    journal=lambda record: write({**record, "elapsed": elapsed()}),
                    progress=on_progress,
                    checkpoint=on_checkpoint,
                    stop=lambda: stopping,
                    watch=on_watch,
                    relabel=on_relabel,
                ),
                progress=progress,
                processes=processes,
                compiled=compiled,
            )
        except (MemoryError, RuntimeError) as error:
            if _is_out_of_memory(error):
                raise _out_of_memory(error) from error
            raise
        except OSError as error:
            raise DataError(
                "the run cannot be written",
                path=error.filename or run.path,
                found=error.strerror or str(error),
                remedy=f"free disk space, then go on with: {go_on}",
            ) from error
    if progress.step < steps:
        run.status("stopped", progress.step)
        if processes.first:
            saved(True)
        raise stopped(progress.step)
    return method, elapsed()


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(
        error
    )


def _out_of_memory(error: Exception) -> TrainingFailed:
    return TrainingFailed(
        "out of memory while training",
        found=(str(error) or type(error).__name__).splitlines()[0],
        remedy="a smaller patch (--set plan.patch=[...]) or batch (--set plan.batch=[1,1])",
    )
