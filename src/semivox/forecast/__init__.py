"""What further labels will bring: a learning curve through measurements on held-out patients."""

from semivox.forecast.curve import Forecast, Point, forecast
from semivox.forecast.folds import foretell, read_points

__all__ = ["Forecast", "Point", "forecast", "foretell", "read_points"]
