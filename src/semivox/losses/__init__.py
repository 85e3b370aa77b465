"""Losses: pure functions on tensors, 2D and 3D, any number of classes, in float32 even under autocast."""

from semivox.losses.consistency import clipped_noise, softmax_mse
from semivox.losses.contrast import Form, info_nce, paired_info_nce, unit
from semivox.losses.distance import (
    SdmForm,
    margin_voxels,
    sdm_loss,
    signed_distance,
    signed_distance_crop_minmax,
    signed_distance_maps,
)
from semivox.losses.distillation import pairwise_distillation
from semivox.losses.mean import Total
from semivox.losses.segmentation import (
    cross_entropy,
    dice_loss,
    full_fractions,
    segmentation_loss,
)
from semivox.losses.slices import boundary_aware_map, slice_contrast, slice_places, to_slices
from semivox.losses.uncertainty import entropy_loss, normalised_entropy, pyramid_consistency

__all__ = [
    "Form",
    "SdmForm",
    "Total",
    "boundary_aware_map",
    "clipped_noise",
    "cross_entropy",
    "dice_loss",
    "entropy_loss",
    "full_fractions",
    "info_nce",
    "margin_voxels",
    "normalised_entropy",
    "paired_info_nce",
    "pairwise_distillation",
    "pyramid_consistency",
    "sdm_loss",
    "segmentation_loss",
    "signed_distance",
    "signed_distance_crop_minmax",
    "signed_distance_maps",
    "slice_contrast",
    "slice_places",
    "softmax_mse",
    "to_slices",
    "unit",
]
