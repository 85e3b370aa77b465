"""What a step of a run takes here, measured on a method that is thrown away.

Other programs are busy at times, and the number of steps follows from this one figure. So enough steps are
measured that a busy second is the smaller part of them, and the faster ones count; where there is no time for
that, the processor's own clock says how much of a step was waiting for a core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import torch

from semivox.batches import Batches
from semivox.devices import synchronise
from semivox.methods import Facts, Method, Optimizer, Stage
from semivox.training.loop import Hooks, fit
from semivox.training.processes import ALONE, Processes
from semivox.training.stages import stages_of

Make = Callable[[int, str], tuple[Facts, Method]]
"""Builds a method for (steps, precision), its weights a function of the seed alone."""

WINDOW = 3.0
"""Seconds of steps that are measured where the limit leaves them: of these a busy second is a third."""
ONE_TURN = 20
"""Steps of a stage that are measured compiled."""
SHORT = 2.0
"""Of fewer seconds a busy second may be all."""
WAITING = 1.1
"""Then a step is thought to take at most so many times what its thread worked."""


@dataclass(frozen=True)
class Moment:
    """``clock``: seconds; ``worked``: seconds of a core that this thread has had."""

    clock: float
    worked: float


@dataclass(frozen=True)
class Lap:
    """What a step took, and how long its thread worked for it: less, if others had its core."""

    seconds: float
    worked: float

    @property
    def waiting(self) -> float:
        return max(1.0, self.seconds / self.worked) if self.worked > 0 else math.inf


def seconds_of_stages(
    make: Make,
    precision: str,
    batches: Callable[[Stage], Batches],
    optimizer: Optimizer,
    device: torch.device,
    processes: Processes = ALONE,
    compiled: bool = False,
    limit: float = WINDOW,
    deadline: float = math.inf,
) -> dict[str, float]:
    """Seconds of a step of each stage, by its name.

    All stages take turns; none begins after ``limit`` seconds, and after ``deadline`` (time.monotonic) no
    step but the second. A stage that no turn came to is not told.
    """
    facts, method = make(100, precision)
    stages = stages_of(method, facts)

    def turn(each: int) -> list[list[Lap]]:
        """Of every stage ``each`` steps, or those until the deadline."""
        facts, method = make(100, precision)
        moments = [_now(device)]
        fit(
            method,
            replace(facts, steps=each * len(stages)),
            batches,
            optimizer=optimizer,
            rebuild=lambda: make(100, precision)[1],
            paper_steps=1,
            device=device,
            hooks=Hooks(
                progress=lambda step, record: moments.append(_now(device)),
                stop=lambda: deadline < math.inf and processes.any(len(moments) > 2 and late()),
            ),
            stages=[replace(stage, share=1.0) for stage in stages],
            processes=processes,
            compiled=compiled,
        )
        laps = [Lap(b.clock - a.clock, b.worked - a.worked) for a, b in pairwise(moments)]
        return [laps[i * each : (i + 1) * each] for i in range(len(stages))]

    def late() -> bool:
        return time.monotonic() >= deadline

    warm_up, timed = (2, 2) if len(stages) <= 3 else (1, 1)  # many stages are mostly alike
    turns = [turn(warm_up + (ONE_TURN if compiled else timed))]  # another one would compile again
    while not processes.agree(compiled or late() or sum(lap.seconds for lap in _all(turns)) >= limit):
        turns.append(turn(timed))
    waiting = _waiting(_all(turns)) if device.type == "cpu" else math.inf
    found = {}
    for stage, (first, *others) in zip(stages, zip(*turns, strict=True), strict=True):
        # the first turn begins with steps that warm up
        if laps := [*(first[warm_up:] or first[-1:]), *chain(*others)]:
            found[stage.name] = _quartile([min(lap.seconds, waiting * lap.worked) for lap in laps])
    return found


def mean_seconds(stages: Sequence[Stage], of_stages: Mapping[str, float]) -> float:
    """Seconds of a step, averaged over ``stages`` by their share. One that was not measured counts as the
    mean of the others; where none with a share was, those without one are all that is known."""
    measured = [stage for stage in stages if stage.name in of_stages]
    some = any(stage.share for stage in measured)
    shares = {stage.name: stage.share if some else 1.0 for stage in measured}
    return sum(share * of_stages[name] for name, share in shares.items()) / sum(shares.values())


def _all(turns: Sequence[Sequence[list[Lap]]]) -> list[Lap]:
    return [lap for turn in turns for laps in turn for lap in laps]


def _waiting(laps: Sequence[Lap]) -> float:
    """Times what its thread works that an undisturbed step takes."""
    ratios = [lap.waiting for lap in laps]
    if sum(lap.seconds for lap in laps) < SHORT:
        return min(WAITING, *ratios)
    return _quartile(ratios)


def _quartile(numbers: Sequence[float]) -> float:
    """The lower one."""
    return sorted(numbers)[(len(numbers) - 1) // 4]


def _now(device: torch.device) -> Moment:
    synchronise(device)
    return Moment(time.perf_counter(), time.thread_time())
