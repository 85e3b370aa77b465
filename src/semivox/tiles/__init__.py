"""Networks + an array on the working grid -> probabilities: in one forward, or in blended tiles."""

from __future__ import annotations

from semivox.tiles.blend import axis_tiles, tile_shape
from semivox.tiles.forward import predict_probabilities
from semivox.tiles.planned import predict_planned
from semivox.tiles.views import predict_views

__all__ = ["axis_tiles", "predict_planned", "predict_probabilities", "predict_views", "tile_shape"]
