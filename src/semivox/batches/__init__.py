"""Streams of crops and their views."""

from semivox.batches.annotation import PseudoLabel, PseudoLabels
from semivox.batches.augmentation import Augmentation
from semivox.batches.case_draws import part_of
from semivox.batches.crops import Crops, region_table
from semivox.batches.perturb import boxes, changed, pasted
from semivox.batches.prefetch import prefetch
from semivox.batches.sampler import Batches
from semivox.batches.source import CropCase, CropSource
from semivox.batches.stream import Stream

__all__ = ["Augmentation", "Batches", "CropCase", "CropSource", "Crops", "PseudoLabel", "PseudoLabels",
           "Stream", "boxes", "changed", "part_of", "pasted", "prefetch",
           "region_table"]  # fmt: skip
