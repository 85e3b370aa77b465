"""What a training has come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainResult:
    """``seconds``: from the start of the command (of all its parts, if resumed), watching excluded;
    ``undertrained``: the warning that the model, or one of several, is not to be used, if it is not."""

    run: Path
    method: str
    steps: int
    seconds: float
    undertrained: str | None
    cross_validation: Mapping[str, Any] | None = None
    """Of several folds the evaluation of all their held-out cases; ``steps`` are then the fewest of a run,
    ``seconds`` those of all."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "run": str(self.run)}
