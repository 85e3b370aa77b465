"""Regions: structures that share voxels, as nnU-Net's ``labels`` declare them with lists of label values.

A label file holds one value a voxel. These values are the *atoms*: they exclude each other, and a network has
an output for each. A region is a set of atoms, and it is regions that are predicted, measured and shown. What
a network says of a region is the sum of what it says of the atoms in it, so a part is never likelier than the
whole.

A region goes by its number, its place in ``labels`` from 1 on, where a class without regions goes by its
label value. A folder without regions has an empty :class:`Regions`, with which a number *is* a label value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Region:
    """``values``: the label values that make it up, ascending; ``written``: the one of them that stands for
    it in a mask (an entry of nnU-Net's ``regions_class_order``)."""

    name: str
    values: tuple[int, ...]
    written: int


@dataclass(frozen=True)
class Regions:
    """The regions of a folder or a model in the order in which they are written, later ones over earlier."""

    each: tuple[Region, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.each)

    @cached_property
    def names(self) -> dict[int, str]:
        """Number -> name."""
        return {number: region.name for number, region in enumerate(self.each, 1)}

    @cached_property
    def parts(self) -> dict[int, tuple[int, ...]]:
        """Number -> label values."""
        return {number: region.values for number, region in enumerate(self.each, 1)}

    @cached_property
    def atoms(self) -> dict[int, str]:
        """Label value -> a name made of the regions that it lies in, ascending."""
        values = sorted({value for region in self.each for value in region.values})
        return {
            value: " + ".join(self.each[i].name for i in sorted(self.around(value))) + f" ({value})"
            for value in values
        }

    def around(self, value: int) -> frozenset[int]:
        """Indices of the regions that ``value`` lies in."""
        return frozenset(i for i, region in enumerate(self.each) if value in region.values)

    def value_of(self, present: Iterable[int]) -> int:
        """The label value of a voxel that lies in the regions with these indices and in no other.

        It is that of the last of them, as nnU-Net writes it. Where that value says less than is known (two
        regions overlap and neither lies in the other) and another one says just it, it is that other one:
        read back, a mask then shows what was predicted.
        """
        lying = frozenset(present)
        if not lying:
            return 0
        last = self.each[max(lying)].written
        return last if self.around(last) == lying else self._exact.get(lying, last)

    @cached_property
    def _exact(self) -> dict[frozenset[int], int]:
        """Indices -> the lowest value that lies in just these regions."""
        return {self.around(value): value for value in sorted(self.atoms, reverse=True)}

    def label_map(self, present: Sequence[np.ndarray]) -> np.ndarray:
        """Of boolean arrays, one a region, the label values: :meth:`value_of` in every voxel."""
        shape = np.shape(present[0])
        labels = np.zeros(shape, np.min_scalar_type(max(self.atoms)))
        for region, inside in zip(self.each, present, strict=True):
            labels[inside] = region.written
        for lying, value in self._exact.items():
            if self.value_of(lying) != self.each[max(lying)].written:
                where = np.ones(shape, bool)
                for i, here in enumerate(present):
                    where &= here if i in lying else ~here
                labels[where] = value
        return labels

    def indexed(self, values: Sequence[int]) -> Regions:
        """The same regions of class indices: ``values[k - 1]`` becomes k."""
        index = {value: k for k, value in enumerate(values, 1)}
        return Regions(
            tuple(Region(r.name, tuple(index[v] for v in r.values), index[r.written]) for r in self.each)
        )

    def without(self, number: int) -> dict[int, int]:
        """What a label value becomes where the region with this number goes, and with it all that lies in
        it: value -> value, of its own values. Background where no value says what would be left."""
        gone = {i for i, r in enumerate(self.each) if set(r.values) <= set(self.parts[number])}
        left = {value: self.value_of(self.around(value) - gone) for value in self.parts[number]}
        return {value: 0 if self.around(new) & gone else new for value, new in left.items()}

    def annotated(self, values: Iterable[int]) -> tuple[int, ...]:
        """Numbers of the regions all of whose values are among ``values``."""
        known = set(values)
        return tuple(number for number, parts in self.parts.items() if known.issuperset(parts))

    def to_json(self) -> list[dict[str, Any]]:
        """As a model's card keeps them."""
        return [{"name": r.name, "values": list(r.values), "written": r.written} for r in self.each]

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> Regions:
        """Of :meth:`to_json`; :meth:`fault` tells what is wrong with them."""
        found = (Region(str(r["name"]), tuple(sorted(set(r["values"]))), int(r["written"])) for r in rows)
        return cls(tuple(found))

    def fault(self) -> tuple[str, str, str] | None:
        """What contradicts itself: fault, found and expected; None where all is well."""
        for region in self.each:
            told = f"{region.name!r}: {list(region.values)}"
            if not region.values or region.values[0] < 1:
                return "a region is made of label values", told, "values from 1 on, at least one"
            if region.written not in region.values:
                found = f"{told}, written as {region.written}"
                return "a region is written as a value that is not in it", found, "one of its own values"
        names = [region.name for region in self.each]
        if len(set(names)) < len(names):
            return "two regions share a name", ", ".join(names), "each name once"
        return None


NONE = Regions()


def inside(labels: np.ndarray, number: int, parts: Mapping[int, Sequence[int]]) -> np.ndarray:
    """Where label values lie in the structure with this number, as a boolean array. ``parts``: what regions
    are made of (:attr:`Regions.parts`); empty: numbers are label values."""
    return within(labels, parts.get(number, (number,)))


def within(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Where ``labels`` is one of a few values, as a boolean array."""
    found = np.asarray(labels == values[0])
    for value in values[1:]:
        found |= labels == value
    return found
