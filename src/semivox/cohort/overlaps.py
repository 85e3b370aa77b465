"""From masks that overlap to regions: every combination of structures that occurs becomes a label value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from semivox.cohort.regions import Region, Regions

Masks = Mapping[str, np.ndarray]
"""Name of a structure -> where it lies, boolean, on one grid."""


def overlap(masks: Masks) -> bool:
    """Whether a voxel lies in two structures of a case."""
    seen = np.zeros(next(iter(masks.values())).shape, bool) if masks else np.zeros(0, bool)
    for inside in masks.values():
        if (seen & inside).any():
            return True
        seen |= inside
    return False


def regions_of_masks(cases: Iterable[Masks]) -> Regions:
    """The structures of all cases as regions, the larger ones first.

    The label value that is written for a region is that of the most voxels that lie in it and in no region
    after it, so nested structures are numbered from the outside in, as nnU-Net's are. Structures that never
    overlap have one value each. One case is in memory at a time.
    """
    voxels = Counter[frozenset[str]]()
    sizes = Counter[str]()
    for masks in cases:
        sizes.update({name: int(inside.sum()) for name, inside in masks.items()})
        voxels.update(_combinations(masks))
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    place = {name: i for i, name in enumerate(names)}
    found = sorted(voxels, key=lambda lying: (-voxels[lying], sorted(lying)))
    own = {last: lying for lying in reversed(found) for last in [max(lying, key=place.__getitem__)]}
    ordered = [own[name] for name in names if name in own]
    value = {lying: v for v, lying in enumerate([*ordered, *(s for s in found if s not in ordered)], 1)}
    each = []
    for name in names:
        lies_in = [lying for lying in found if name in lying]
        if lies_in:  # a structure that no case shows is none
            values = tuple(sorted(value[lying] for lying in lies_in))
            each.append(Region(name, values, value[own.get(name, lies_in[0])]))
    return Regions(tuple(each))


def _combinations(masks: Masks) -> Counter[frozenset[str]]:
    """Voxels of each combination of structures, that of none left out."""
    names = list(masks)
    stacked = np.stack([masks[name] for name in names]).reshape(len(names), -1)
    packed = np.packbits(stacked[:, stacked.any(0)], axis=0).T  # a row of bytes a voxel
    rows, counts = np.unique(packed, axis=0, return_counts=True)
    bits = np.unpackbits(rows, axis=1, count=len(names)).astype(bool)
    return Counter(
        {
            frozenset(name for name, lies in zip(names, row, strict=True) if lies): int(count)
            for row, count in zip(bits, counts, strict=True)
        }
    )
