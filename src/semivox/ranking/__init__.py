"""Which unlabelled scans a label would help most: measured, ordered, and a diverse choice made."""

from __future__ import annotations
