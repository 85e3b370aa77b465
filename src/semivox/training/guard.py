"""Stops a run whose loss is not finite, naming step, term and cases, and one whose weights are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semivox.batches import Crops
from semivox.errors import TrainingFailed
from semivox.methods import Term


@dataclass(frozen=True)
class _Look:
    """What one step had; nothing of it has been read from the device yet."""

    step: int
    terms: tuple[str, ...]
    finite: Tensor  # (1 + terms,) bool: the loss of a player, then each term
    cases: Mapping[str, Tensor]


class FiniteGuard:
    """Looks at every step's losses.

    On a CPU a bad loss raises at once, before its gradient moves anything. Asking a GPU at each step would
    make the host wait for it, so there the answers stay on the device until :meth:`read`; the first bad step
    is the one that is named.
    """

    def __init__(self, device: torch.device) -> None:
        self._at_once = device.type == "cpu"
        self._looks: list[_Look] = []

    def look(self, step: int, loss: Tensor, terms: Mapping[str, Term], batch: Mapping[str, Crops]) -> None:
        """``loss`` is a player's, before its backward pass. Raises TrainingFailed on a CPU."""
        if self._at_once and bool(torch.isfinite(loss)):
            return
        values = [loss.detach(), *(term.value.detach() for term in terms.values())]
        finite = torch.stack([torch.isfinite(value) for value in values])
        cases = {name: crops.case for name, crops in batch.items()}
        self._looks.append(_Look(step, tuple(terms), finite, cases))
        if self._at_once:
            self.read()

    def read(self) -> None:
        """Wait for the device, and raise TrainingFailed if a loss since the last time was not finite."""
        looks, self._looks = self._looks, []
        if not looks or bool(torch.stack([look.finite[0] for look in looks]).all()):
            return
        first = next(look for look in looks if not bool(look.finite[0]))
        finite = first.finite[1:].tolist()
        bad = [name for name, good in zip(first.terms, finite, strict=True) if not good]
        cases = {name: case.tolist() for name, case in first.cases.items()}
        raise TrainingFailed(
            f"the loss is not finite at step {first.step}",
            found=f"term {', '.join(bad) or 'sum of all'}; the batch held the cases {cases} "
            "(rows of cases.json)",
            remedy="lower the learning rate (--set optimizer.lr=...), try --precision fp32, look at these "
            "cases",
        )


def refuse_broken(state: Mapping[str, Any], step: int) -> None:
    """Raise TrainingFailed where weights that are to be kept after ``step`` steps are not finite: a loss that
    is finite can have a gradient that is not, and no loss comes after the last step."""
    # what a module keeps beside its tensors is looked at where checkpoints are written
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    broken = [n for n, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise TrainingFailed(
            f"the weights are not finite after step {step}",
            found=f"{broken[0]}{more}",
            remedy="lower the learning rate (--set optimizer.lr=...), or try --precision fp32",
        )
