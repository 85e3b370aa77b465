"""InfoNCE, numerically safe, in the four forms that the methods use, and a fast path for paired vectors.

With s the similarity of an anchor to a key divided by the temperature, P its positives, N its negatives and
A = P and N together (oord et al., arXiv 1807.03748; Khosla et al., arXiv 2004.11362 for ``out`` and ``in``):

    out    mean over p of [ lse(A) - s_p ]
    in     lse(A) - lse(P) + log |P|
    pair   mean over p of [ lse({p} and N) - s_p ]
    ratio  -(lse(P) - lse(N)) / |P|         (unbounded below; kept for comparison)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from semivox.losses.anchor_losses import Form, Pairs, anchor_losses, unit
from semivox.losses.numerics import full_precision, weighted_mean


@full_precision
def info_nce(
    anchors: Tensor,
    keys: Tensor,
    positives: Tensor | Pairs,
    *,
    temperature: float,
    form: Form = "out",
    exclude: Tensor | None = None,
    normalise: bool = True,
    anchor_weights: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Mean InfoNCE over the anchors that have a positive; 0 with zero gradient where none has.

    anchors (N, D), keys (M, D); positives (N, M) bool. ``exclude`` (N, M) bool: pairs that are neither
    positive nor negative, such as an anchor with itself (it wins over ``positives``). All other pairs are
    negatives; an anchor that has none gives the limit of its formula, 0 for ``pair``, and by convention 0
    for ``ratio``.

    Where N x M is large, let ``positives`` be a function that tells both for a block of anchors and keys,
    from what is known of each (:data:`~semivox.losses.anchor_losses.Pairs`)::

        info_nce(z, z, lambda a, k: (y[a, None] == y[k], row[a, None] == row[k]), temperature=0.1)

    Memory then grows with N + M, whatever the form: blocks of floats are made, used and dropped.
    ``normalise`` makes the similarity a cosine. ``anchor_weights`` (N,) >= 0. ``chunk``: that many anchors
    and keys at a time instead of what suits the device; it changes no value.
    """
    pairs = _from_matrices(positives, exclude, (len(anchors), len(keys)))
    if anchors.numel() == 0 or keys.numel() == 0:
        return weighted_mean((anchors.sum() + keys.sum()) * 0, anchors.new_zeros(()))
    losses, count = anchor_losses(
        anchors, keys, pairs, temperature=temperature, form=form, normalise=normalise, chunk=chunk
    )
    weights = (count > 0).to(losses.dtype)
    if anchor_weights is not None:
        weights = weights * anchor_weights
    return weighted_mean((losses * weights).sum(), weights.sum())


def _from_matrices(positives: Tensor | Pairs, exclude: Tensor | None, shape: tuple[int, int]) -> Pairs:
    if not isinstance(positives, Tensor):
        if exclude is not None:
            raise ValueError("a function of blocks tells what to exclude itself; leave out exclude")
        return positives
    if positives.shape != shape or (exclude is not None and exclude.shape != shape):
        raise ValueError(f"positives and exclude must be {shape}, got positives {tuple(positives.shape)}")
    return lambda a, k: (positives[a, k], None if exclude is None else exclude[a, k])


@full_precision
def paired_info_nce(
    anchors: Tensor,
    keys: Tensor,
    *,
    temperature: float,
    exclude: Tensor | None = None,
    normalise: bool = True,
) -> Tensor:
    """InfoNCE where the positive of anchor i is key i and its negatives are the other keys of its group.

    anchors, keys (G, N, D): G independent groups of N pairs. ``exclude`` (N, N) or (G, N, N) bool: negatives
    left out (its diagonal is ignored). The mean over all anchors; equal to :func:`info_nce` group by group,
    and faster for few pairs: memory is G x N x N.
    """
    if anchors.shape != keys.shape or anchors.dim() != 3:
        raise ValueError(
            f"anchors {tuple(anchors.shape)} and keys {tuple(keys.shape)} must both be (G, N, D)"
        )
    if anchors.numel() == 0:
        return (anchors.sum() + keys.sum()) * 0
    if normalise:
        anchors, keys = unit(anchors), unit(keys)
    similarity = torch.bmm(anchors, keys.transpose(1, 2)) / temperature  # (G, N, N)
    groups, n, _ = similarity.shape
    index = torch.arange(n, device=anchors.device)
    if exclude is not None:
        apart = index[:, None] != index
        similarity = similarity.masked_fill(exclude & apart, -math.inf)
    return F.cross_entropy(similarity.flatten(0, 1), index.repeat(groups))


def crop_contrast(z: Tensor, case: Tensor, *, temperature: float) -> Tensor:
    """NT-Xent (Chen et al., "SimCLR", ICML 2020): each of two crops of a case finds the other one.

    z (2B, D): row i and row B + i are the crops of ``case`` (B,)'s entry i. Other crops of the same case are
    no negatives.
    """
    both, index = case.repeat(2), torch.arange(len(z), device=z.device)
    positives = (index[:, None] - index).abs() == len(case)
    same_case = both[:, None] == both  # itself included
    return info_nce(z, z, positives, temperature=temperature, exclude=same_case & ~positives)


def pairwise_distillation(features_s: Tensor, features_t: Tensor, temperature: float = 1.0) -> Tensor:
    """Each place of a volume finds itself among the teacher's features (You et al., "SimCVD", IEEE TMI 2022).

    With v the features at places j, k of volume i, and c the cosine (arXiv 2108.06227):

        L_pd = - mean over i, j of log( exp(c(v^s_ij, v^t_ij) / T) / sum_k exp(c(v^s_ij, v^t_ik) / T) )

    The paper has no temperature, so T = 1, and sums over places; we take the mean, so that its weight does
    not depend on the patch size. Student and teacher features are (B, C, X, Y[, Z]) of the same crops, of a
    coarse level.

    Memory is B x places^2. The caller detaches the teacher. A scalar in 0 .. log(places) + 2 / temperature.
    """
    if features_s.shape != features_t.shape:
        raise ValueError(f"student {tuple(features_s.shape)} and teacher {tuple(features_t.shape)} differ")
    places_s, places_t = features_s.flatten(2).transpose(1, 2), features_t.flatten(2).transpose(1, 2)
    return paired_info_nce(places_s, places_t, temperature=temperature)  # (B, places, C)


def dimension_contrast(
    z_s: Tensor, z_t: Tensor, present: Tensor | None = None, *, temperature: float
) -> Tensor:
    """Contrast of the columns of an embedding: each dimension of a code should mean something of its own.

    The feature-dimension contrast of CVRL's final version (You, Zhao, Staib, Duncan, MICCAI 2022, arXiv
    2105.07059). ``z_s`` and ``z_t`` (n, d) are the same n things seen by student and teacher; with columns of
    length 1,

        L = -1/d sum over a of log( exp(Z_a . Z'_a / tau) / sum over b of exp(Z_a . Z'_b / tau) )

    Dimensions that say the same make each other's denominators large, so a collapsed embedding costs log d.
    ``present`` (n,) bool: rows that count.

    The caller detaches the teacher. A column that is 0 everywhere has no gradient.
    """
    if present is not None:
        z_s, z_t = z_s * present[:, None], z_t * present[:, None]
    return paired_info_nce(z_s.T[None], z_t.T[None], temperature=temperature)


__all__ = ["crop_contrast", "dimension_contrast", "info_nce", "paired_info_nce", "pairwise_distillation"]
