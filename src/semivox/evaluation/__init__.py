"""Metrics of masks, folder against folder, with intervals over patients and paired comparisons."""

from __future__ import annotations

from semivox.evaluation.case_metrics import case_metrics, class_metrics
from semivox.evaluation.comparison import Measured, compare_evaluations, pool_folds
from semivox.evaluation.comparison_table import VERDICT_WORDS, comparison_markdown, comparison_table
from semivox.evaluation.folders import evaluate_folders, summarise
from semivox.evaluation.intervals import few_patients
from semivox.evaluation.metrics import (
    COMPARED,
    DICE,
    METRICS,
    Metric,
    Policy,
    empty_masks,
    empty_pairs,
    hausdorff,
    metrics_for_people,
    overlap_dice,
    policy_text,
    spacing_was_known,
)
from semivox.evaluation.paired import FOREGROUND, case_value, paired_difference, patient_count
from semivox.evaluation.reading import read_evaluation
from semivox.evaluation.surface import SurfaceDistances, surface, surface_distances
from semivox.evaluation.table import evaluation_table

__all__ = [
    "COMPARED",
    "DICE",
    "FOREGROUND",
    "METRICS",
    "VERDICT_WORDS",
    "Measured",
    "Metric",
    "Policy",
    "SurfaceDistances",
    "case_metrics",
    "case_value",
    "class_metrics",
    "compare_evaluations",
    "comparison_markdown",
    "comparison_table",
    "empty_masks",
    "empty_pairs",
    "evaluate_folders",
    "evaluation_table",
    "few_patients",
    "hausdorff",
    "metrics_for_people",
    "overlap_dice",
    "paired_difference",
    "patient_count",
    "policy_text",
    "pool_folds",
    "read_evaluation",
    "spacing_was_known",
    "summarise",
    "surface",
    "surface_distances",
]
