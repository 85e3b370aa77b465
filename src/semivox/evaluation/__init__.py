"""Metrics of masks, folder against folder, with intervals over patients and paired comparisons."""

from __future__ import annotations

from semivox.evaluation.case_metrics import case_metrics, class_metrics
from semivox.evaluation.comparison import Measured, compare_evaluations, pool_folds
from semivox.evaluation.comparison_table import comparison_markdown, comparison_table
from semivox.evaluation.folders import evaluate_folders, read_evaluation, summarise
from semivox.evaluation.metrics import METRICS, Metric, overlap_dice
from semivox.evaluation.paired import case_value, paired_difference
from semivox.evaluation.surface import SurfaceDistances, surface, surface_distances
from semivox.evaluation.table import evaluation_table

__all__ = [
    "METRICS",
    "Measured",
    "Metric",
    "SurfaceDistances",
    "case_metrics",
    "case_value",
    "class_metrics",
    "compare_evaluations",
    "comparison_markdown",
    "comparison_table",
    "evaluate_folders",
    "evaluation_table",
    "overlap_dice",
    "paired_difference",
    "pool_folds",
    "read_evaluation",
    "summarise",
    "surface",
    "surface_distances",
]
