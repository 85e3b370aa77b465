"""Numbers as people write them."""


def show_number(number: float, digits: int = 3) -> str:
    """``0.0123``, ``12.3``, ``1,523``: ``digits`` significant ones, or all those before the point."""
    return f"{number:,.0f}" if abs(number) >= 10**digits else f"{number:.{digits}g}"
