"""What a run fixes by measuring, once, before step 0: the arithmetic, and how many steps and relabellings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from semivox.batches import Batches, PseudoLabels
from semivox.duration import show_duration
from semivox.methods import Method, Relabel, Stage
from semivox.networks import Segmenter, bf16_error, computes_bf16, measure_precisions
from semivox.networks.precision import FAR, Measured
from semivox.training import compiling
from semivox.training.config import Config, RunSettings, predictor_of
from semivox.training.display import Display
from semivox.training.processes import ALONE, Processes
from semivox.training.pseudo_label_bank import BlankLabels, PseudoLabelBank
from semivox.training.stages import stages_of
from semivox.training.step_time import WINDOW, Make, mean_seconds, seconds_of_stages

Source = Callable[[Stage, PseudoLabels | None], Batches]
"""Makes the batches of a stage; the pseudo-labels are None where no stage of the method labels anew."""

RESERVE = 0.03
"""Share of a budget kept for checkpoints and the export."""
FOR_MEASURING = 0.1
"""Share of a budget that all measuring may take."""
FOR_PRECISION = 0.03
"""Share of a budget that comparing precisions may take."""
FOR_STEP_TIME = 0.03
"""Share of a budget that measuring a step may take."""
A_PASS_EACH = 4.0
"""What one pass in each precision takes, over the plan's step."""
SETTLING = 4
"""Turns in which the number of steps agrees with the shares of the stages, which may depend on it."""
FOR_STEPS = 0.6
"""Share of what is left of a budget that relabelling leaves for steps."""
LEAST_FOR_STEPS = 0.25
"""The same where scans are labelled once; they are not where even that leaves less."""


def measure_settings(
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
    (time.monotonic). Of several processes all measure, and what the first one found counts. With a budget,
    measuring takes at most a tenth of it, but for one pass of each.
    """
    measuring = _Measuring(settled, maker, source, bank, device, began, display, processes)
    if measuring.run.precision == "auto":
        measuring.precision()
    if measuring.run.steps is None and measuring.left() <= 0:
        measuring.nothing_left()
    elif measuring.run.steps is None:
        sweep = measuring.sweeps()
        measuring.steps(sweep, measuring.compile(measuring.left))
    elif measuring.run.compile is True:
        measuring.compile(lambda: 0.0)
    measuring.fix(threads=torch.get_num_threads(), compile=measuring.run.compile is True)
    return measuring.settled


class _Measuring:
    """The settings on their way: each method measures one thing and fixes what follows from it."""

    def __init__(
        self,
        settled: Config,
        maker: Callable[[Config], Make],
        source: Source,
        bank: PseudoLabelBank,
        device: torch.device,
        began: float,
        display: Display,
        processes: Processes,
    ) -> None:
        self.settled, self.maker, self.source, self.bank = settled, maker, source, bank
        self.device, self.began, self.display, self.processes = device, began, display, processes
        self.budget = settled.run.budget or 3600.0
        self.deadline = time.monotonic() + FOR_MEASURING * self.budget
        self.of_stages: dict[bool, dict[str, float]] = {}
        self.labels_anew = any(stage.relabel for stage in _stages(self.make()))

    @property
    def run(self) -> RunSettings:
        return self.settled.run

    def make(self) -> Make:
        return self.maker(self.settled)

    def fix(self, **changes: object) -> None:
        self.settled = replace(self.settled, run=replace(self.run, **changes))  # type: ignore[arg-type]

    def batches(self, stage: Stage) -> Batches:
        """Of pseudo-labels that say nothing, where the method labels: there are none yet."""
        blank = BlankLabels(self.bank.store, self.bank.plan) if self.labels_anew else None
        return self.source(stage, blank)

    def left(self) -> float:
        """Seconds of the budget that are left for training."""
        return self.processes.agree(self.budget * (1 - RESERVE) - (time.monotonic() - self.began))

    def nothing_left(self) -> None:
        """One step, and nothing that would only take more time."""
        self.fix(steps=1, sweeps=1 if self.run.sweeps is None else self.run.sweeps, compile=False)
        self.display.say(f"time: the budget of {show_duration(self.budget)} was over before the first step")

    def precision(self) -> None:
        chosen = choose_precision(self.make(), self.batches, self.device, FOR_PRECISION * self.budget)
        precision, why = self.processes.agree(list(chosen))
        self.fix(precision=precision)
        self.display.detail(f"precision: {precision}; {why} (override: --precision)")

    def sweeps(self) -> float:
        """Seconds of labelling all unlabelled scans once; 0 where the method labels none."""
        if not self.labels_anew:
            return 0.0
        ranks = self.processes.ranks
        found = seconds_a_sweep(self.settled, self.make(), self.bank, ranks, self.deadline)
        seconds = self.processes.agree(found)
        if seconds and self.run.sweeps is None:
            left = self.left()
            self.fix(sweeps=most_sweeps(left, seconds))
            if not self.run.sweeps:
                self.display.say(
                    f"relabelling: to label {len(self.bank.store.unlabeled)} scans takes "
                    f"{show_duration(seconds)}, and {show_duration(max(0.0, left))} are left, so labels "
                    "alone are learned from (override: --set run.sweeps=1)"
                )
        return seconds

    def compile(self, left: Callable[[], float]) -> dict[str, float]:
        """Seconds of a step of each stage in the form that is taken: compiled or not."""
        choice = compiling.choose(
            self.run.compile, self._step_seconds, left, self.device, self.processes.ranks
        )
        self.fix(compile=choice.compiled)
        if choice.said:
            self.display.detail(choice.said)
        return self.of_stages[choice.compiled]

    def _step_seconds(self, compiled: bool) -> float:
        # compiling itself takes minutes, and is tried only where they are at hand
        deadline = math.inf if compiled else self.deadline
        limit = min(WINDOW, FOR_STEP_TIME * self.budget)
        make, run, optimizer = self.make(), self.run, self.settled.optimizer
        self.of_stages[compiled] = self.processes.agree(
            seconds_of_stages(
                make,
                run.precision,
                self.batches,
                optimizer,
                self.device,
                self.processes,
                compiled,
                limit,
                deadline,
            )
        )
        return mean_seconds(_stages(make), self.of_stages[compiled])

    def steps(self, sweep: float, of_stages: Mapping[str, float]) -> None:
        """As many as the budget holds beside labelling. What part of them a stage has, and how often the
        method labels, may depend on how many they are."""
        time_left, steps = self.left(), 100
        facts, method = self.make()(steps, "fp32")
        for _ in range(SETTLING):
            stages = stages_of(method, replace(facts, steps=steps))
            passes, each = sweeps_of(stages), mean_seconds(stages, of_stages)
            steps = max(1, int((time_left - passes * sweep) / each))
        if passes:
            cases = len(self.bank.store.unlabeled)
            self.display.detail(
                f"relabelling: {passes:.3g} passes over {cases} unlabelled scans, of {sweep / cases:.2g} s a "
                "scan (override: --set run.sweeps=N)"
            )
        self.fix(steps=steps)
        left, budget = show_duration(max(0.0, time_left)), show_duration(self.budget)
        self.display.say(f"time: {left} of {budget} are left, for steps of {each:.2g} s each")


def most_sweeps(seconds: float, sweep: float) -> int:
    """How often all unlabelled scans can be labelled, at ``sweep`` seconds each time, within ``seconds`` of
    which FOR_STEPS stay; once where LEAST_FOR_STEPS stay, else never."""
    once = sweep <= (1 - LEAST_FOR_STEPS) * seconds
    return max(int(once), int((1 - FOR_STEPS) * seconds / sweep))


def sweeps_of(stages: Sequence[Stage]) -> float:
    """How often the stages label all unlabelled scans: part i of k counts 1 / k."""
    return sum(1 / stage.relabel.part[1] for stage in stages if stage.relabel is not None)


def labellers(method: Method, relabel: Relabel, config: Config) -> list[nn.Module]:
    """The networks that label: those the stage names, else the run's predictor."""
    return [getattr(method, role) for role in relabel.by or predictor_of(method, config)]


def seconds_a_sweep(
    config: Config, make: Make, bank: PseudoLabelBank, ranks: int = 1, deadline: float = math.inf
) -> float:
    """Seconds in which ``ranks`` processes label all unlabelled scans, from the median of a few, by the
    relabelling stage with the most networks. After ``deadline`` (time.monotonic) no other scan is begun."""
    facts, method = make(100, config.run.precision)
    relabels = [stage.relabel for stage in stages_of(method, facts) if stage.relabel is not None]
    if not relabels or not bank.store.unlabeled:
        return 0.0
    networks, relabel = max(
        ((labellers(method, relabel, config), relabel) for relabel in relabels), key=lambda one: len(one[0])
    )
    rounds = math.ceil(len(bank.store.unlabeled) / ranks)
    return bank.seconds_a_case(relabel, networks, deadline) * rounds


def _stages(make: Make) -> list[Stage]:
    facts, method = make(100, "fp32")
    return stages_of(method, facts)


def choose_precision(
    make: Make, batches: Callable[[Stage], Batches], device: torch.device, limit: float
) -> tuple[str, str]:
    """The precision to train in, and why: bf16 where the machine computes in it, rightly and faster.

    Measuring ends after ``limit`` seconds; where that is too short for a pass each, arithmetic for bf16 is
    taken to be the faster one. Networks that are not ours get fp32.
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
    if A_PASS_EACH * facts.plan.step_seconds > limit:
        found = Measured({}, bf16_error(network, example[:2]))
    else:
        found = measure_precisions(network, example, limit=limit)
    if found.error >= FAR:
        return "fp32", f"bf16 computes wrongly here: its logits differ by {found.error:.0%}"
    seconds = found.seconds
    if not seconds:
        return "bf16", "the budget leaves no time to measure"
    measured = ", ".join(f"{name} {s:.2f} s" for name, s in sorted(seconds.items(), key=lambda one: one[1]))
    return min(seconds, key=lambda name: seconds[name]), f"forward and backward take {measured}"
