"""A run's model for other programs: ONNX, TorchScript, a MONAI bundle, and the card that goes with it."""

from __future__ import annotations

from semivox.exports.write import export_run

__all__ = ["export_run"]
