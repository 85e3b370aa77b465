"""Contrast of classes between an anchor network and a key network (Xiang et al., arXiv 2105.12924).

With q the anchors, k the keys, c their classes, i and j positions:

    P(i) = {j != i: c_j = c_i}      N(i) = {j: c_j != c_i}
    L = mean over i with P(i), mean over p in P(i), of
        -log( exp(q_i.k_p / tau) / (exp(q_i.k_p / tau) + sum over n in N(i) of exp(q_i.k_n / tau)) )

Keys of earlier steps join P and N, except those of the anchor's own case.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semivox.losses.contrast import info_nce


def class_contrast(
    anchors: Tensor,
    keys: Tensor,
    label: Tensor,
    present: Tensor,
    *,
    temperature: float = 0.1,
    case: Tensor | None = None,
    memory: Sequence[tuple[Tensor, Tensor, Tensor]] = (),
) -> Tensor:
    """The scalar L, by cosine; 0 with zero gradient where no anchor has a positive, or none a negative.

    anchors, keys (N, D): row i of both is one position, with class ``label`` (N,) int64; ``present`` (N,)
    bool, False for rows to be ignored. ``memory``: vectors (M, D), their classes (M,) and cases (M,), -1
    where there is none; no anchor meets those of its own ``case`` (N,) >= 0. Memory grows with N + M.
    """
    if memory and case is None:
        raise ValueError("a memory of earlier keys needs the case of each anchor")
    row, nowhere = torch.arange(len(label), device=label.device), torch.full_like(label, -1)
    own_case = nowhere if case is None else case
    vectors, classes, cases = (
        torch.cat(parts) for parts in zip((keys, label, nowhere), *memory, strict=True)
    )
    beyond = len(vectors) - len(keys)
    key_row = torch.cat([row, row.new_full((beyond,), -1)])  # no anchor is a key of an earlier step
    out = torch.cat([~present, cases[len(keys) :] < 0])

    def pairs(a: slice, k: slice) -> tuple[Tensor, Tensor]:
        left_out = (row[a, None] == key_row[k]) | out[k]
        if memory:
            left_out |= own_case[a, None] == cases[k]
        return (label[a, None] == classes[k]) & present[a, None], left_out

    return info_nce(anchors, vectors, pairs, temperature=temperature, form="pair")
