"""Which slices of a scan a reader looked at, where it was not all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from semivox.annotating.refusals import NotWanted

FORM = re.compile(r"([012]):(\d{1,6}(?:,\d{1,6})*)")


@dataclass(frozen=True)
class Drawn:
    """``slices`` across ``axis`` of the page's grid; as text ``2:4,5,9``."""

    axis: int
    slices: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Drawn:
        """Raises NotWanted for a text that is none."""
        match = FORM.fullmatch(text)
        if match is None:
            raise NotWanted("not a list of slices", found=repr(text)[:80], expected="AXIS:FIRST,SECOND,...")
        return cls(int(match[1]), tuple(sorted({int(part) for part in match[2].split(",")})))

    def __str__(self) -> str:
        return f"{self.axis}:{','.join(map(str, self.slices))}"

    def rest_as(self, number: int, raw: bytes, shape: tuple[int, int, int]) -> bytes:
        """``raw``, a byte a voxel of ``shape``, with ``number`` in all other slices."""
        if self.slices[-1] >= shape[self.axis]:
            raise NotWanted("no such slice", found=self.slices[-1], expected=f"up to {shape[self.axis] - 1}")
        array = np.frombuffer(raw, np.uint8).reshape(shape, order="F").copy(order="F")
        rest = np.ones(shape[self.axis], bool)
        rest[list(self.slices)] = False
        np.moveaxis(array, self.axis, 0)[rest] = number
        return array.tobytes(order="F")
