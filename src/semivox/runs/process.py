"""Another process of a run on several devices, as :mod:`semivox.training.launch` starts it."""

from __future__ import annotations

import sys
from typing import Any

from semivox.runs.run import carry_out
from semivox.training.launch import obey
from semivox.training.options import TrainOptions


def take_part(**asked: Any) -> None:
    """Go through the phases of the run with its first process."""
    carry_out(TrainOptions(**asked))


if __name__ == "__main__":
    sys.exit(obey(take_part))
