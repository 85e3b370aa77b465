"""Figures made from evaluations and masks."""
