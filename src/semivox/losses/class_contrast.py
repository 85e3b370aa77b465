"""Contrast of classes between an anchor network and a key network (Xiang et al., arXiv 2105.12924).

With q the anchors, k the keys, c their classes, i and j positions:

    P(i) = {j != i: c_j = c_i}      N(i) = {j: c_j != c_i}
    L = mean over i with P(i), mean over p in P(i), of
        -log( exp(q_i.k_p / tau) / (exp(q_i.k_p / tau) + sum over n in N(i) of exp(q_i.k_n / tau)) )

Keys of earlier steps join P and N, except those that ``memory`` leaves out for an anchor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semivox.losses.contrast import info_nce

CHUNK = 1024
"""Anchors compared at a time: it bounds the memory and changes no value."""


def class_contrast(
    anchors: Tensor,
    keys: Tensor,
    label: Tensor,
    present: Tensor,
    *,
    temperature: float = 0.1,
    memory: Sequence[tuple[Tensor, Tensor, Tensor]] = (),
) -> Tensor:
    """The scalar L, by cosine; 0 with zero gradient where no anchor has a positive, or none a negative.

    anchors, keys (N, D): row i of both is one position, with class ``label`` (N,) int64; ``present`` (N,)
    bool, False for rows to be ignored. ``memory``: vectors (M, D), their classes (M,) and which of them an
    anchor does not meet (N, M) bool, such as those of its own case.
    """
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    all_keys, key_label, exclude = [keys], [label], [itself | ~present]
    for vectors, classes, left_out in memory:
        all_keys.append(vectors)
        key_label.append(classes)
        exclude.append(left_out)
    same = label[:, None] == torch.cat(key_label)
    return info_nce(
        anchors,
        torch.cat(all_keys),
        same & present[:, None],
        temperature=temperature,
        form="pair",
        exclude=torch.cat(exclude, 1),
        chunk=CHUNK,
    )
