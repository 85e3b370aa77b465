"""Contrast of the columns of an embedding: each dimension of a code should mean something of its own.

The feature-dimension contrast of CVRL's final version (You, Zhao, Staib, Duncan, MICCAI 2022, arXiv
2105.07059). Z and Z' (n, d) are the same n things seen by student and teacher; with columns of length 1,

    L = -1/d sum over a of log( exp(Z_a . Z'_a / tau) / sum over b of exp(Z_a . Z'_b / tau) )

Dimensions that say the same make each other's denominators large, so a collapsed embedding costs log d.
"""

from __future__ import annotations

from torch import Tensor

from semivox.losses.contrast import paired_info_nce


def dimension_contrast(
    z_s: Tensor, z_t: Tensor, present: Tensor | None = None, *, temperature: float
) -> Tensor:
    """L of the embeddings ``z_s`` and ``z_t`` (n, d), a scalar; ``present`` (n,) bool: rows that count.

    The caller detaches the teacher. A column that is 0 everywhere has no gradient.
    """
    if present is not None:
        z_s, z_t = z_s * present[:, None], z_t * present[:, None]
    return paired_info_nce(z_s.T[None], z_t.T[None], temperature=temperature)


__all__ = ["dimension_contrast"]
