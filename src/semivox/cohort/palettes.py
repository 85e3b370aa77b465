"""Labels with a palette are read as its indices: all that are learned from or measured together must mean one
thing by an index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from semivox.cohort.formats import read_label, read_palette
from semivox.errors import DataError

REMEDY = (
    "save all labels with one palette, in which a colour has one index; where the indices are right and only "
    "the colours differ, save them as grey levels, without a palette"
)


def refuse_other_palettes(labels: Iterable[Path]) -> None:
    """Raise DataError for the first of :func:`palette_faults`."""
    for _, fault in palette_faults(labels):
        raise fault


def palette_faults(labels: Iterable[Path]) -> Iterator[tuple[Path, DataError]]:
    """Label files in whose pixels an index has another colour, or a colour another index, than in an earlier
    one: a picture that looks the same would be learned as another class.

    Voxels are read only where the headers' palettes differ. What cannot be read is passed over: whoever needs
    its voxels says so.
    """
    palettes: dict[Path, np.ndarray] = {}
    for path in labels:
        with contextlib.suppress(DataError):
            if (colours := read_palette(path)) is not None:
                palettes[path] = colours
    if len({colours.tobytes() for colours in palettes.values()}) < 2:
        return
    shown: dict[int, Path] = {}  # index -> the first file that shows it
    seen: dict[str, tuple[int, Path]] = {}  # colour -> its index, and the first file that shows it
    for path, colours in palettes.items():
        try:
            used = [int(i) for i in np.unique(read_label(path).array) if i < len(colours)]
        except DataError:
            continue
        own = {index: _hex(colours, index) for index in used}
        fault = _other_colour(path, own, shown, palettes) or _other_index(path, own, seen, palettes)
        if fault is not None:
            yield path, fault
            continue
        for index, colour in own.items():
            shown.setdefault(index, path)
            seen.setdefault(colour, (index, path))


def _other_colour(
    path: Path, own: dict[int, str], shown: dict[int, Path], palettes: dict[Path, np.ndarray]
) -> DataError | None:
    for index, colour in own.items():
        if index in shown and (other := _hex(palettes[shown[index]], index)) != colour:
            return DataError(
                "two labels give one index of their palettes different colours",
                path=path,
                found=f"index {index} is {colour}",
                expected=f"{other}, as in {_named(shown[index], path)}",
                remedy=REMEDY,
            )
    return None


def _other_index(
    path: Path, own: dict[int, str], seen: dict[str, tuple[int, Path]], palettes: dict[Path, np.ndarray]
) -> DataError | None:
    for index, colour in own.items():
        before, where = seen.get(colour, (index, path))
        # one palette may have a colour twice, for two classes
        if colour not in (_hex(palettes[where], index), _hex(palettes[path], before)):
            return DataError(
                "two labels give one colour different indices in their palettes",
                path=path,
                found=f"{colour} has index {index}",
                expected=f"index {before}, as in {_named(where, path)}",
                remedy=REMEDY,
            )
    return None


def _named(other: Path, path: Path) -> str:
    """By its name where ``path`` lies beside it; two folders may each have a file of that name."""
    return other.name if other.parent == path.parent else str(other)


def _hex(colours: np.ndarray, index: int) -> str:
    """``#rrggbb`` of (n, 3) colours; "" beyond the last."""
    return "#" + bytes(colours[index].tolist()).hex() if index < len(colours) else ""
