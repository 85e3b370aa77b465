"""Figures and pages made from runs, comparisons and masks.

The names below are for notebooks: records are read from a folder, figures are matplotlib ``Figure``s. They
are imported when they are first used, since matplotlib takes a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox.report.comparison_figures import case_figure, cost_figure, forest_figure, label_figure
    from semivox.report.comparison_record import read_comparison
    from semivox.report.held_out_figures import (
        bland_altman,
        dice_distribution,
        reliability_diagram,
        uncertainty_figure,
    )
    from semivox.report.masks import mask_figure
    from semivox.report.palette import colour_of
    from semivox.report.run_figures import learning_rate_curve, loss_curve, term_names, watch_curve
    from semivox.report.run_record import read_held_out, read_run

__all__ = [
    "bland_altman",
    "case_figure",
    "colour_of",
    "cost_figure",
    "dice_distribution",
    "forest_figure",
    "label_figure",
    "learning_rate_curve",
    "loss_curve",
    "mask_figure",
    "read_comparison",
    "read_held_out",
    "read_run",
    "reliability_diagram",
    "term_names",
    "uncertainty_figure",
    "watch_curve",
]

__getattr__, __dir__ = attach(__name__)
