"""Scans that other processes predict, measure for a ranking, or evaluate: what is asked of them, as JSON."""

from semivox.elsewhere.predicting import Opening, elsewhere

__all__ = ["Opening", "elsewhere"]
