"""SimCVD's pairwise distillation: each place of a volume finds itself among the teacher's features.

You et al., "SimCVD", IEEE TMI 2022, arXiv 2108.06227. With v the features at places j, k of volume i, c the
cosine and T the temperature:

    L_pd = - mean over i, j of log( exp(c(v^s_ij, v^t_ij) / T) / sum_k exp(c(v^s_ij, v^t_ik) / T) )

The paper has no temperature, so T = 1, and sums over places; we take the mean, so that its weight does not
depend on the patch size.
"""

from __future__ import annotations

from torch import Tensor

from semivox.losses.contrast import paired_info_nce


def pairwise_distillation(features_s: Tensor, features_t: Tensor, temperature: float = 1.0) -> Tensor:
    """Student and teacher features (B, C, X, Y[, Z]) of the same crops, of a coarse level.

    Memory is B x places^2. The caller detaches the teacher. A scalar in 0 .. log(places) + 2 / temperature.
    """
    if features_s.shape != features_t.shape:
        raise ValueError(f"student {tuple(features_s.shape)} and teacher {tuple(features_t.shape)} differ")
    places_s, places_t = features_s.flatten(2).transpose(1, 2), features_t.flatten(2).transpose(1, 2)
    return paired_info_nce(places_s, places_t, temperature=temperature)  # (B, places, C)
