"""Losses: pure functions on tensors, 2D and 3D, any number of classes, in float32 even under autocast."""

from semivox.losses.adversarial import critic_loss, judged
from semivox.losses.agreement import AgreementForm, agreement_loss, clipped_noise, softmax_mse
from semivox.losses.anchor_losses import Form, Pairs, unit
from semivox.losses.class_contrast import class_contrast
from semivox.losses.class_means import class_mean_contrast, class_means, local_class_contrast
from semivox.losses.contrast import (
    crop_contrast,
    dimension_contrast,
    info_nce,
    paired_info_nce,
    pairwise_distillation,
)
from semivox.losses.distance import (
    SdmForm,
    margin_voxels,
    sdm_loss,
    signed_distance,
    signed_distance_crop_minmax,
    signed_distance_maps,
)
from semivox.losses.elastic import ElasticDims, elastic_energy
from semivox.losses.local import (
    VoxelPools,
    block_pools,
    class_labels,
    place_labels,
    strided_pool,
    view_pools,
    voxel_contrast,
    voxel_labels,
)
from semivox.losses.sampling import (
    confident_positions,
    known_classes,
    pooled,
    region_pairs,
    sample_positions,
    valid_region_pairs,
    vectors_at,
)
from semivox.losses.segmentation import (
    cross_entropy,
    dice_loss,
    full_fractions,
    segmentation_loss,
)
from semivox.losses.slices import (
    boundary_aware_map,
    boundary_aware_slices,
    crop_slice_contrast,
    slice_contrast,
    slice_places,
    to_slices,
)
from semivox.losses.uncertainty import entropy_loss, normalised_entropy, pyramid_consistency
from semivox.losses.voxels import mean_feature, same_voxel_contrast, valid_positions, volume_contrast

__all__ = [
    "AgreementForm",
    "ElasticDims",
    "Form",
    "Pairs",
    "SdmForm",
    "VoxelPools",
    "agreement_loss",
    "block_pools",
    "boundary_aware_map",
    "boundary_aware_slices",
    "class_contrast",
    "class_labels",
    "class_mean_contrast",
    "class_means",
    "clipped_noise",
    "confident_positions",
    "critic_loss",
    "crop_contrast",
    "crop_slice_contrast",
    "cross_entropy",
    "dice_loss",
    "dimension_contrast",
    "elastic_energy",
    "entropy_loss",
    "full_fractions",
    "info_nce",
    "judged",
    "known_classes",
    "local_class_contrast",
    "margin_voxels",
    "mean_feature",
    "normalised_entropy",
    "paired_info_nce",
    "pairwise_distillation",
    "place_labels",
    "pooled",
    "pyramid_consistency",
    "region_pairs",
    "same_voxel_contrast",
    "sample_positions",
    "sdm_loss",
    "segmentation_loss",
    "signed_distance",
    "signed_distance_crop_minmax",
    "signed_distance_maps",
    "slice_contrast",
    "slice_places",
    "softmax_mse",
    "strided_pool",
    "to_slices",
    "unit",
    "valid_positions",
    "valid_region_pairs",
    "vectors_at",
    "view_pools",
    "volume_contrast",
    "voxel_contrast",
    "voxel_labels",
]
