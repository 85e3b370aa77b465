"""Weights that the package has: learned from scans that were made up from end to end, see CARD.md."""

from semivox.pretrained.beginning import GENERATED, SCRATCH, WHERE_THERE_ARE, beginning, is_run
from semivox.pretrained.generated import generated_weights

__all__ = ["GENERATED", "SCRATCH", "WHERE_THERE_ARE", "beginning", "generated_weights", "is_run"]
