"""Scans that are predicted, measured for a ranking, or evaluated by other processes: asked and answered in
JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:  # what compares masks needs no torch
    from semivox.elsewhere.evaluating import scored_elsewhere
    from semivox.elsewhere.predicting import Opening, predicted_elsewhere
    from semivox.elsewhere.ranking import SeenScan, seen_elsewhere, seen_here

__all__ = ["Opening", "SeenScan", "predicted_elsewhere", "scored_elsewhere", "seen_elsewhere", "seen_here"]
__getattr__, __dir__ = attach(__name__)
