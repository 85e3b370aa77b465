"""The colours of masks and references on grey scans, and which of them a class has.

They are told apart with normal sight and with any of the three colour blindnesses. Masks have Okabe and Ito's
colours. A class's reference has a colour of its own, so that where two structures meet or a mask lies beside
its reference one sees whose line is whose.
"""

from __future__ import annotations

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00")
REFERENCES = ("#ffff87", "#4b69ff", "#4be1e1", "#a569c3", "#87c369", "#c3a5a5")
REFERENCE = "#ffffff"
"""Where there is one class only."""
DASH = (4.0, 3.0)
"""Of a reference among several classes: where it lies on the mask's line, both are seen."""


def colour_of(index: int) -> str:
    """Of the masks of class number ``index``, from 0."""
    return COLOURS[index % len(COLOURS)]


def reference_colour(index: int, classes: int) -> str:
    """Of the reference of class number ``index`` of so many."""
    return REFERENCE if classes == 1 else REFERENCES[index % len(REFERENCES)]
