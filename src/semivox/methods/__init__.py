"""Methods: the vocabulary they are written in, one short file each, and the catalogue.

Names are imported on first use: the catalogue is read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox.methods.catalog import (
        CATALOG,
        RECOMMENDED,
        entry,
        listed,
        load_method,
        parse_method,
        preset_settings,
    )
    from semivox.methods.declare import At, Facts, Method, Optimizer, Pair, Player, Relabel, Stage, Term

__all__ = [
    "CATALOG",
    "RECOMMENDED",
    "At",
    "Facts",
    "Method",
    "Optimizer",
    "Pair",
    "Player",
    "Relabel",
    "Stage",
    "Term",
    "entry",
    "listed",
    "load_method",
    "parse_method",
    "preset_settings",
]

__getattr__, __dir__ = attach(__name__)
