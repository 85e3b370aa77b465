"""Streams of crops and their views."""

from semivox.batches.augmentation import Augmentation
from semivox.batches.crops import Crops
from semivox.batches.prefetch import prefetch
from semivox.batches.sampler import Batches, CropCase, CropSource
from semivox.batches.stream import Stream

__all__ = ["Augmentation", "Batches", "CropCase", "CropSource", "Crops", "Stream", "prefetch"]
