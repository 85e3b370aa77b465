"""Which side of the body a name tells: left kidney, kidney_r, RightLung, rein gauche, 左肾."""

from __future__ import annotations

import re
from typing import NamedTuple

LEFT = (
    "left l lt lh sin sinister sinistra sinistro links linke linker linkes gauche izquierda izquierdo "
    "esquerda esquerdo 左"
)
RIGHT = (
    "right r rt rh dex dexter dextra destra destro rechts rechte rechter rechtes droit droite derecha "
    "derecho direita direito 右"
)
SIDES = dict.fromkeys(LEFT.split(), "left") | dict.fromkeys(RIGHT.split(), "right")

GLUED = re.compile(r"\b(left|right)(?=[^\W\d_]{3})|(?<=[^\W\d_]{3})(left|right)\b", re.IGNORECASE)
"""A side that is written in one with what it is of: leftkidney."""
WITHIN = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[左右])|(?=[左右])")
"""Where a word begins within what is written as one: LeftKidney, RKidney."""
ARTICLE = re.compile(r"\bl['\u2019]", re.IGNORECASE)


class Sided(NamedTuple):
    """A side, and the rest of the name, in which its order, case and punctuation do not count."""

    side: str
    rest: tuple[str, ...]


def sided(name: str) -> Sided | None:
    """What ``name`` is a side of, and which; None where it tells no side, or both."""
    plain = WITHIN.sub(" ", ARTICLE.sub(" ", name)).replace("_", " ")
    words = re.findall(r"\w+", GLUED.sub(lambda found: f" {found[0]} ", plain).casefold())
    # left1 is the left one of some; L1 is a vertebra
    bare = [word.rstrip("0123456789") for word in words]
    sides = [SIDES.get(word if len(short) < 3 else short) for word, short in zip(words, bare, strict=True)]
    found = {side for side in sides if side}
    if len(found) != 1:
        return None
    return Sided(found.pop(), tuple(sorted(w for w, side in zip(words, sides, strict=True) if not side)))
