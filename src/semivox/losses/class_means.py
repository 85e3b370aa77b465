"""Class means of embeddings, and the contrast of voxels with them: the local loss of pseudo-label contrast.

Chaitanya, Erdil, Karani, Konukoglu, "Local contrastive loss with pseudo-label based self-training", Medical
Image Analysis 87:102792, 2023, arXiv 2112.09645. Images come in pairs (x, x'). With m_c(x) the mean embedding
of all voxels of class c in x, s the cosine divided by the temperature, and a an anchor (a voxel of class c in
x), its loss is

    intra    -log exp s(a, m_c(x)) / sum over c' of exp s(a, m_c'(x))
    inter    mean over p in {m_c(x), m_c(x')} of -log exp s(a, p) / Z,
             Z = sum over c' of exp s(a, m_c'(x)) + exp s(a, m_c'(x'))

The loss is the mean over all anchors of all pairs, taken once: no pair counts more than another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from semivox.losses.contrast import info_nce
from semivox.losses.numerics import full_precision
from semivox.losses.sampling import known_classes, sample_positions, vectors_at
from semivox.randomness import BatchKey

Reach = Literal["inter", "intra"]
Negatives = Literal["means", "voxels"]


@full_precision
def class_means(embeddings: Tensor, weights: Tensor, least: float = 1.0) -> tuple[Tensor, Tensor]:
    """Mean embedding of each class in each image (B, K, D), and which classes are there (B, K) bool.

    embeddings (B, D, X, Y[, Z]); weights (B, K, X, Y[, Z]) >= 0, such as class fractions inside the scan.
    A class whose weights sum to less than ``least`` voxels is not there, and its mean is 0.
    """
    if embeddings.shape[0] != weights.shape[0] or embeddings.shape[2:] != weights.shape[2:]:
        raise ValueError(f"embeddings {tuple(embeddings.shape)} and weights {tuple(weights.shape)} differ")
    flat, weights = embeddings.flatten(2), weights.flatten(2).to(embeddings.dtype)
    amount = weights.sum(2)  # (B, K)
    present = amount >= least
    sums = torch.bmm(weights, flat.transpose(1, 2))  # (B, K, D)
    return torch.where(present[..., None], sums / amount.clamp_min(least)[..., None], 0), present


@full_precision
def class_mean_contrast(
    anchors: Tensor,
    drawn: Tensor,
    means: Tensor,
    present: Tensor,
    *,
    temperature: float = 0.1,
    reach: Reach = "inter",
    negatives: Negatives = "means",
) -> Tensor:
    """A scalar; 0 with zero gradient where no anchor has a positive and a negative.

    anchors (B, K, N, D): embeddings of N voxels of each class of each image; images 2j and 2j + 1 are a pair.
    drawn (B, K, N) bool: which of them exist. means (B, K, D), present (B, K) bool: see :func:`class_means`.
    Absent classes are neither positive nor negative; an anchor without a negative has nothing to be told
    apart from and does not count. ``negatives`` "voxels": the anchors of other classes stand in the
    denominator instead of the means of other classes.
    """
    images, classes, count, _ = anchors.shape
    if images % 2 or drawn.shape != anchors.shape[:3] or present.shape != means.shape[:2]:
        raise ValueError(f"pairs are needed, got anchors {tuple(anchors.shape)}, means {tuple(means.shape)}")
    image = torch.arange(images, device=anchors.device)
    of_class = torch.arange(classes, device=anchors.device)
    # image and class of each mean (B K,) and of each anchor (B K N,)
    image_m, class_m = image.repeat_interleave(classes), of_class.repeat(images)
    image_a, class_a = image_m.repeat_interleave(count), class_m.repeat_interleave(count)

    def within(image_k: Tensor) -> Tensor:
        """(B K N, keys) whether an anchor is compared with keys of that image."""
        shift = 1 if reach == "inter" else 0
        return (image_a[:, None] >> shift) == (image_k >> shift)

    compared = within(image_m) & present.flatten()
    same = class_a[:, None] == class_m
    positives, others = compared & same, compared & ~same
    keys, vectors = means.flatten(0, 1), anchors.flatten(0, 2)
    columns = len(keys)
    if negatives == "voxels":
        others = within(image_a) & drawn.flatten() & (class_a[:, None] != class_a)
        keys = torch.cat([keys, vectors])
        positives, others = F.pad(positives, (0, len(vectors))), F.pad(others, (columns, 0))
    return info_nce(
        vectors,
        keys,
        positives,
        temperature=temperature,
        form="out",
        exclude=~(positives | others),
        anchor_weights=(drawn.flatten() & others.any(1)).to(vectors.dtype),
    )


def local_class_contrast(
    embeddings: Tensor,
    truth: tuple[Tensor, Tensor, Tensor],
    classes: Sequence[int],
    count: int,
    key: BatchKey,
    *,
    temperature: float = 0.1,
    reach: Reach = "inter",
    negatives: Negatives = "means",
) -> Tensor:
    """:func:`class_mean_contrast` of ``count`` anchors drawn of each of ``classes`` in each image.

    embeddings (B, D, X, Y[, Z]); truth: target (B, K-1, ...), valid (B, 1, ...), annotated (B, K-1). An
    anchor is a voxel of which its class fills one half; what is not known (:func:`known_classes`) is no
    anchor and in no mean.
    """
    known = known_classes(*truth)  # (B, K, X, Y[, Z])
    most, label = known.flatten(2).max(1)  # (B, P)
    index, drawn = sample_positions(label, most >= 0.5, classes, count, key)  # (B, K', N)
    means, present = class_means(embeddings, known[:, classes])  # (B, K', D), (B, K')
    return class_mean_contrast(
        vectors_at(embeddings, index),
        drawn,
        means,
        present,
        temperature=temperature,
        reach=reach,
        negatives=negatives,
    )
