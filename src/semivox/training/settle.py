"""What a run fixes by measuring, once, before step 0: the arithmetic, and how many steps and relabellings."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn

from semivox.batches import Batches, PseudoLabels
from semivox.duration import show_duration
from semivox.methods.declare import Facts, Method, Optimizer, Relabel, Stage
from semivox.networks import Segmenter, bf16_error, computes_bf16, measure_precisions
from semivox.networks.precision import FAR
from semivox.training import compiling
from semivox.training.bank import BlankLabels, PseudoLabelBank
from semivox.training.config import Config, predictor_of
from semivox.training.display import Display
from semivox.training.loop import Hooks, fit
from semivox.training.processes import ALONE, Processes
from semivox.training.stages import stages_of

Make = Callable[[int, str], tuple[Facts, Method]]
"""Builds a method for (steps, precision), its weights a function of the seed alone."""
Source = Callable[[Stage, PseudoLabels | None], Batches]
"""Makes the batches of a stage; the pseudo-labels are None where no stage of the method labels anew."""

RESERVE = 0.03
"""Share of a budget kept for checkpoints and the export."""
FOR_PRECISION = 0.03
"""Share of a budget that comparing precisions may take."""
FOR_STEPS = 0.6
"""Share of what is left of a budget that relabelling leaves for steps."""


def settle(
    settled: Config,
    maker: Callable[[Config], Make],
    source: Source,
    bank: PseudoLabelBank,
    device: torch.device,
    began: float,
    display: Display,
    processes: Processes = ALONE,
) -> Config:
    """The settings with precision, compiling, threads, steps and sweeps fixed: from now on a run of N steps.

    ``maker(settings)`` gives what builds the method under these settings; ``began``: the command's start
    (time.monotonic). Of several processes all measure, and what the first one found counts.
    """

    def fix(**changes: object) -> None:
        nonlocal settled
        settled = replace(settled, run=replace(settled.run, **changes))  # type: ignore[arg-type]

    def batches(stage: Stage) -> Batches:
        return source(stage, BlankLabels(bank.store, bank.plan) if labels_anew else None)

    def step_seconds(compiled: bool) -> float:
        run, optimizer = settled.run, settled.optimizer
        return processes.agree(
            seconds_a_step(make, run.precision, batches, optimizer, device, processes, compiled)
        )

    make = maker(settled)
    labels_anew = any(stage.relabel for stage in _stages(make))
    if settled.run.precision == "auto":
        limit = FOR_PRECISION * (settled.run.budget or 3600.0)
        precision, why = processes.agree(list(choose_precision(make, batches, device, limit)))
        fix(precision=precision)
        display.say(f"precision: {precision}; {why} (override: --precision)")
    if settled.run.steps is None:
        budget = settled.run.budget or 3600.0

        def left() -> float:
            return processes.agree(budget * (1 - RESERVE) - (time.monotonic() - began))

        sweep = processes.agree(seconds_a_sweep(settled, make, bank, processes.ranks)) if labels_anew else 0.0
        if sweep and settled.run.sweeps is None:
            fix(sweeps=most_sweeps(left(), sweep))
            make = maker(settled)
        choice = compiling.choose(settled.run.compile, step_seconds, left, device, processes.ranks)
        each = choice.seconds
        fix(compile=choice.compiled)
        if choice.said:
            display.say(choice.said)
        time_left = left()
        # the stages may depend on the number of steps, which is at most this
        passes = sweeps_of(_stages(make, max(1, int(time_left / each))))
        if sweep:
            cases = len(bank.store.unlabeled)
            display.say(
                f"relabelling: {passes:.3g} passes over {cases} unlabelled scans, of {sweep / cases:.2g} s a "
                "scan (override: --set run.sweeps=N)"
            )
        steps = max(1, int((time_left - passes * sweep) / each))
        fix(steps=steps)
        display.say(
            f"steps: {steps}, of {each:.2f} s, in the {show_duration(max(0.0, time_left))} left of the "
            f"budget of {show_duration(budget)} (override: --steps)"
        )
    elif settled.run.compile is True:
        choice = compiling.choose(True, step_seconds, lambda: 0.0, device, processes.ranks)
        fix(compile=choice.compiled)
        display.say(choice.said or "")
    fix(threads=torch.get_num_threads(), compile=settled.run.compile is True)
    return settled


def most_sweeps(seconds: float, sweep: float) -> int:
    """How often all unlabelled scans can be labelled, at ``sweep`` seconds each time, within ``seconds`` of
    which FOR_STEPS stay; at least once."""
    return max(1, int((1 - FOR_STEPS) * seconds / sweep))


def sweeps_of(stages: Sequence[Stage]) -> float:
    """How often the stages label all unlabelled scans: part i of k counts 1 / k."""
    return sum(1 / stage.relabel.part[1] for stage in stages if stage.relabel is not None)


def labellers(method: Method, relabel: Relabel, config: Config) -> list[nn.Module]:
    """The networks that label: those the stage names, else the run's predictor."""
    return [getattr(method, role) for role in relabel.by or predictor_of(method, config)]


def seconds_a_sweep(config: Config, make: Make, bank: PseudoLabelBank, ranks: int = 1) -> float:
    """Seconds in which ``ranks`` processes label all unlabelled scans, from the median of a few, by the
    relabelling stage with the most networks."""
    facts, method = make(100, config.run.precision)
    relabels = [stage.relabel for stage in stages_of(method, facts) if stage.relabel is not None]
    if not relabels or not bank.store.unlabeled:
        return 0.0
    networks, relabel = max(
        ((labellers(method, relabel, config), relabel) for relabel in relabels), key=lambda one: len(one[0])
    )
    rounds = math.ceil(len(bank.store.unlabeled) / ranks)
    return bank.seconds_a_case(relabel, networks) * rounds


def _stages(make: Make, steps: int = 100) -> list[Stage]:
    facts, method = make(100, "fp32")
    return stages_of(method, replace(facts, steps=steps))


def choose_precision(
    make: Make, batches: Callable[[Stage], Batches], device: torch.device, limit: float
) -> tuple[str, str]:
    """The precision to train in, and why: bf16 where the machine computes in it, rightly and faster.

    Measuring ends after ``limit`` seconds, but for one pass each. Networks that are not ours get fp32.
    """
    if not computes_bf16(device):
        return "fp32", "this machine has no arithmetic for bf16"
    facts, method = make(100, "fp32")
    network = next((m for m in method.children() if isinstance(m, Segmenter)), None)
    if network is None:
        return "fp32", "the method has no network of ours"
    crops = next(iter(batches(method.stages(facts)[0]).batch(0).values()))
    if not len(crops.case):  # more processes than crops: this one has nothing to measure
        return "fp32", "there is nothing to measure"
    example = next(iter(crops.views.values())).to(device)
    error = bf16_error(network, example)
    if error >= FAR:
        return "fp32", f"bf16 computes wrongly here: its logits differ by {error:.0%}"
    seconds = measure_precisions(network, example, limit=limit)
    measured = ", ".join(f"{name} {s:.2f} s" for name, s in sorted(seconds.items(), key=lambda one: one[1]))
    return min(seconds, key=lambda name: seconds[name]), f"forward and backward take {measured}"


def seconds_a_step(
    make: Make,
    precision: str,
    batches: Callable[[Stage], Batches],
    optimizer: Optimizer,
    device: torch.device,
    processes: Processes = ALONE,
    compiled: bool = False,
) -> float:
    """Median seconds of a step, averaged over the stages by their share, on a method that is thrown away."""
    facts, method = make(100, precision)
    stages = stages_of(method, facts)
    equal = [replace(stage, share=1.0) for stage in stages]
    warm_up, timed = (2, 5) if len(stages) <= 3 else (1, 2)  # many stages are mostly alike
    each = warm_up + timed
    laps: list[float] = [_now(device)]
    fit(
        method,
        replace(facts, steps=each * len(stages)),
        batches,
        optimizer=optimizer,
        rebuild=lambda: make(100, precision)[1],
        paper_steps=1,
        device=device,
        hooks=Hooks(progress=lambda step, record: laps.append(_now(device))),
        stages=equal,
        processes=processes,
        compiled=compiled,
    )
    taken = [b - a for a, b in pairwise(laps)]
    medians = [statistics.median(taken[i * each + warm_up : (i + 1) * each]) for i in range(len(stages))]
    shares = [stage.share for stage in stages]
    return sum(m * s for m, s in zip(medians, shares, strict=True)) / sum(shares)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
