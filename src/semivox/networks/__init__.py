"""Networks: V-Net, the U-Net family, heads and the adapter for networks of other libraries."""

from semivox.networks.build import build_from_description, build_network, count_parameters, describe
from semivox.networks.contract import NormMode, Output, SegmentationNetwork
from semivox.networks.critics import CriticKind, ImageCritic, PixelCritic, build_critic
from semivox.networks.fitting import fitting_weights
from semivox.networks.folding import fold_norms
from semivox.networks.heads import (
    PixelProjection,
    SliceProjection,
    VectorProjection,
    pixel_projection,
    vector_projections,
)
from semivox.networks.monai import MonaiNetwork
from semivox.networks.portable import MeanSoftmax
from semivox.networks.precision import bf16_error, computes_bf16, measure_precisions
from semivox.networks.queue import ClassQueues, Queue
from semivox.networks.segmenter import Precision, Segmenter
from semivox.networks.speed import costs_here

__all__ = [
    "ClassQueues",
    "CriticKind",
    "ImageCritic",
    "MeanSoftmax",
    "MonaiNetwork",
    "NormMode",
    "Output",
    "PixelCritic",
    "PixelProjection",
    "Precision",
    "Queue",
    "SegmentationNetwork",
    "Segmenter",
    "SliceProjection",
    "VectorProjection",
    "bf16_error",
    "build_critic",
    "build_from_description",
    "build_network",
    "computes_bf16",
    "costs_here",
    "count_parameters",
    "describe",
    "fitting_weights",
    "fold_norms",
    "measure_precisions",
    "pixel_projection",
    "vector_projections",
]
