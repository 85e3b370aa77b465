"""TensorBoard events in ``RUN/tensorboard`` (setting ``run.tensorboard``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from semivox.training.sinks import State

if TYPE_CHECKING:
    from semivox.training.config import Config


class TensorBoardSink:
    """Writes below ``folder``; what an earlier part of the run wrote for ``step`` and later is hidden."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step or None)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, state: State) -> None:
        self._writer.close()


def make(run: Path, config: Config, step: int) -> TensorBoardSink:
    return TensorBoardSink(run / "tensorboard", step)
