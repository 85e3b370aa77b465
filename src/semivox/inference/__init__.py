"""Files -> masks: the exported model, its predictions on the scan's own grid, and the record of each case."""

from __future__ import annotations

from semivox.inference.begun_with import learned_by, parent_of
from semivox.inference.ensemble import Ensemble, load_ensemble
from semivox.inference.export import export_model, undertrained
from semivox.inference.initialise import load_network
from semivox.inference.model import Model, load_model
from semivox.inference.predictor import Predictor
from semivox.inference.ranges import training_ranges
from semivox.inference.segmentation import Segmentation
from semivox.inference.weights import load_networks, read_card

__all__ = [
    "Ensemble",
    "Model",
    "Predictor",
    "Segmentation",
    "export_model",
    "learned_by",
    "load_ensemble",
    "load_model",
    "load_network",
    "load_networks",
    "parent_of",
    "read_card",
    "training_ranges",
    "undertrained",
]
