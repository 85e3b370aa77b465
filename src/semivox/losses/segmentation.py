"""The supervised loss: mean of soft Dice and soft cross-entropy on class fractions, partly annotated cases
included.

A class that was not annotated in a sample may hide in its background. The marginal loss (Shi et al., arXiv
2007.03868) therefore adds the probability of such classes to the background's before comparing,
p_bg' = p_bg + sum of p_c over unannotated c, and their target, if any, to the background's.
Dice is V-Net's (Milletari et al., arXiv 1606.04797: squared denominators), a foreground class over the batch:

    D_c = (2 sum p_c g_c + s) / (sum p_c^2 + sum g_c^2 + s),   loss = mean over c of 1 - D_c,   s = 1e-5

Where regions are judged, each made of several classes, Dice is that of the regions and of the classes: c runs
over both, and p_c and g_c are the sums over the classes of a region. The cross-entropy stays that of the
classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from semivox.losses.numerics import full_precision, weighted_mean

SMOOTH = 1e-5


@full_precision
def segmentation_loss(
    logits: Tensor, target: Tensor, valid: Tensor, annotated: Tensor, regions: Tensor | None = None
) -> Tensor:
    """The mean of ``dice_loss`` and ``cross_entropy``, a scalar; 0 with zero gradient if nothing is valid.

    It is what the field weighs unlabelled terms against (UA-MT, MICCAI 2019, and the code that follows it).

    logits (B, K, X, Y[, Z]); target (B, K-1, ...) fractions of the foreground classes in 0..1; valid
    (B, 1, ...) 0/1, or any weight >= 0 of a voxel; annotated (B, K-1) 0/1; regions (R, K-1) 0/1: of which
    sums of classes Dice is taken, None: of each class.
    """
    both = _compare(logits, target, valid, annotated)
    return (_dice(both, regions) + _cross_entropy(both)) / 2


@full_precision
def cross_entropy(logits: Tensor, target: Tensor, valid: Tensor, annotated: Tensor) -> Tensor:
    """Soft cross-entropy - sum_c f_c log p_c, averaged over valid voxels.

    Arguments as :func:`segmentation_loss`.
    """
    return _cross_entropy(_compare(logits, target, valid, annotated))


@full_precision
def dice_loss(
    logits: Tensor, target: Tensor, valid: Tensor, annotated: Tensor, regions: Tensor | None = None
) -> Tensor:
    """Batch Dice over annotated (sample, class) pairs; a class that no sample annotates does not count, nor
    does a region in a sample that does not annotate all of its classes.

    Arguments as :func:`segmentation_loss`.
    """
    return _dice(_compare(logits, target, valid, annotated), regions)


@full_precision
def full_fractions(target: Tensor, annotated: Tensor) -> Tensor:
    """Fractions of all K classes (B, K, ...), background first, from those of the foreground (B, K-1, ...).

    Unannotated classes (``annotated`` (B, K-1) is 0) become 0; the background is what the others leave.
    """
    target = _known(target, annotated)
    return torch.cat([_background(target), target], dim=1)


class _Compared(NamedTuple):
    """What is compared: marginal log-probabilities and fractions, background and foreground apart."""

    log_background: Tensor  # (B, 1, ...)
    log_foreground: Tensor  # (B, K-1, ...)
    target: Tensor  # (B, K-1, ...), 0 in unannotated classes
    weighted: Tensor  # target x valid
    valid: Tensor  # (B, 1, ...)
    annotated: Tensor  # (B, K-1)


def _compare(logits: Tensor, target: Tensor, valid: Tensor, annotated: Tensor) -> _Compared:
    batch, classes, *space = logits.shape
    expected = ((batch, classes - 1, *space), (batch, 1, *space), (batch, classes - 1))
    found = (tuple(target.shape), tuple(valid.shape), tuple(annotated.shape))
    if classes < 2 or found != expected:  # other shapes would broadcast to a plausible number
        raise ValueError(f"target, valid, annotated are {found}, expected {expected}")
    # Contiguous once: channels-last logits against contiguous targets slow down all that follows.
    log_probs = torch.log_softmax(logits.contiguous(), dim=1)
    background, foreground = log_probs.split([1, classes - 1], dim=1)
    if not _all_annotated(annotated):
        hidden = foreground.masked_fill(_planes(annotated, foreground) > 0, torch.finfo(logits.dtype).min / 2)
        background = torch.logsumexp(torch.cat([background, hidden], dim=1), dim=1, keepdim=True)
    target = _known(target, annotated)
    return _Compared(background, foreground, target, target * valid, valid, annotated)


def _cross_entropy(x: _Compared) -> Tensor:
    agreement = (_background(x.target) * x.valid * x.log_background).sum()
    agreement = agreement + (x.weighted * x.log_foreground).sum()
    return weighted_mean(-agreement, x.valid.sum())


def _dice(x: _Compared, regions: Tensor | None) -> Tensor:
    probs, target, annotated = x.log_foreground.exp(), x.target, x.annotated > 0
    if regions is not None:  # sums over the classes of each region; below K-1 is the number of regions
        regions = regions.to(probs.dtype)
        probs, target = _sums(regions, probs), _sums(regions, target)
        annotated = ~((~annotated).to(probs.dtype) @ regions.T > 0)
    space = tuple(range(2, probs.dim()))
    weighted = target * x.valid
    overlap = (probs * weighted).sum(space)  # (B, K-1)
    size = (probs * x.valid * probs).sum(space) + (weighted * target).sum(space)
    known = annotated.to(probs.dtype)
    overlap, size, samples = (overlap * known).sum(0), (size * known).sum(0), known.sum(0)  # (K-1,)
    dice = (2 * overlap + SMOOTH) / (size + SMOOTH)
    counted = (samples > 0).to(probs.dtype)
    return weighted_mean(((1 - dice) * counted).sum(), counted.sum())


def _sums(regions: Tensor, planes: Tensor) -> Tensor:
    """(R, K-1), (B, K-1, ...) -> (B, R, ...)."""
    return torch.einsum("rk,bk...->br...", regions, planes)


def _known(target: Tensor, annotated: Tensor) -> Tensor:
    return target if _all_annotated(annotated) else target.masked_fill(_planes(annotated, target) <= 0, 0)


def _background(target: Tensor) -> Tensor:
    return (1 - target.sum(1, keepdim=True)).clamp_min(0)


def _planes(annotated: Tensor, like: Tensor) -> Tensor:
    """(B, K-1) -> (B, K-1, 1, 1[, 1])."""
    return annotated.reshape(*annotated.shape, *(1,) * (like.dim() - 2))


def _all_annotated(annotated: Tensor) -> bool:
    """A short cut on a CPU; a GPU takes the general way, so that nobody waits for it."""
    return annotated.device.type == "cpu" and bool((annotated > 0).all())
