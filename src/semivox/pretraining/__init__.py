"""Scans that are made up from end to end, to train networks on before they see real ones.

The package's own weights were learned from such scans alone (``semivox.pretrained``).
"""

from semivox.pretraining.anatomy import KINDS
from semivox.pretraining.recipe import Recipe
from semivox.pretraining.scans import Scan, make_scan, name_of, write_generated_scans, write_scans

__all__ = ["KINDS", "Recipe", "Scan", "make_scan", "name_of", "write_generated_scans", "write_scans"]
