"""Whether a run's networks are compiled, settled once before step 0 by trying it.

Compiling takes minutes, and on the machines measured so far (docs/performance.md) it makes a step at most a
tenth faster, so it is tried unasked only where much of a budget is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from semivox.errors import SemivoxError
from semivox.networks.compiled import compiler_fault
from semivox.training.display import Display
from semivox.training.processes import Processes

WORTH_A_TRY = 7200.0
"""Seconds left of a budget from which on a try may pay for itself."""


@dataclass(frozen=True)
class Choice:
    """``said``: a line for the user, or None where there is nothing to say."""

    compiled: bool
    said: str | None = None


def choose(
    asked: bool | Literal["auto"],
    measure: Callable[[bool], float],
    left: Callable[[], float],
    device: torch.device,
    ranks: int,
) -> Choice:
    """``measure(compiled)``: seconds of a step; ``left()``: of the budget. Where nothing can be compiled, or
    compiling fails, the steps stay as they are and ``said`` tells why."""
    plain = measure(False)
    if asked == "auto":
        # a GPU's compiler could not be tried yet: there only who asks for it gets it
        asked = ranks == 1 and device.type == "cpu" and left() >= WORTH_A_TRY
        least = plain
    else:
        least = float("inf")
    if not asked:
        return Choice(False)
    fault = "several processes share a batch" if ranks > 1 else compiler_fault()
    if fault is None:
        try:
            seconds = measure(True)
        except SemivoxError:
            raise
        except Exception as error:
            fault = (str(error).splitlines() or [type(error).__name__])[0]
    if fault is not None:
        return Choice(False, f"compile: no; {fault}")
    yes = seconds < least
    both = f"a step takes {seconds:.2f} s compiled, {plain:.2f} s as it is"
    said = f"compile: {'yes' if yes else 'no'}; {both} (override: --set run.compile={'no' if yes else 'yes'})"
    return Choice(yes, said)


def still_compiled(settled: bool | Literal["auto"], processes: Processes, display: Display) -> bool:
    """Whether a run that was settled so can be compiled here; tells why not."""
    if settled is not True or processes.ranks > 1:
        return False
    if (fault := compiler_fault()) is not None:
        display.say(f"warning: the run was compiled, and cannot be here: {fault}")
    return fault is None
